"""A run that lives in an Auto Scaling group of size one, which replaces what dies: names and requests. Pure.

Sources: CreateLaunchTemplate (Amazon EC2 API Reference); CreateAutoScalingGroup, "Auto Scaling groups with multiple instance
types and purchase options", "Amazon EC2 Auto Scaling lifecycle hooks" (Amazon EC2 Auto Scaling User Guide).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from runctl_agent.contract.spec import Recover, Spec
from runctl_agent.contract.tags import DESTINATION, NAME, OWNER, PROJECT, RUN

from .launched import Launched

HOOK = "runctl-save"
HOOK_TIMEOUT = 600
"""Seconds that a termination by the group itself waits for the agent, which prolongs it while it saves."""

NOT_IN_A_TEMPLATE = frozenset({"MinCount", "MaxCount", "ClientToken", "InstanceMarketOptions", "SubnetId"})
"""Of RunInstances. How spot is bought, and where, is the group's to say: EC2 refuses a template with market options in it."""


def group_name(run: str, destination: str) -> str:
    """The same for every attempt of a run: what is left of one is found by the next. At most 79 characters."""
    return f"runctl-{run}-{hashlib.sha256(destination.encode()).hexdigest()[:8]}"


def recovering(spec: Spec, attempt: int = 0) -> Spec:
    """The spec as the agent in a group needs it. `attempt`: the last one, whose end is no reason to begin nothing."""
    return replace(spec, recover=Recover(group_name(spec.run, spec.destination), HOOK, float(HOOK_TIMEOUT), attempt))


def template(request: Mapping[str, Any]) -> dict[str, Any]:
    """LaunchTemplateData, of the request that launches one such instance. Its user-data is in base64, unlike RunInstances'."""
    data = {name: value for name, value in request.items() if name not in NOT_IN_A_TEMPLATE}
    data["UserData"] = base64.b64encode(str(request["UserData"]).encode()).decode("ascii")
    data["InstanceInitiatedShutdownBehavior"] = "terminate"  # a stopped one would be replaced, and stay
    return data


def known(spec: Spec, owner: str) -> dict[str, str]:
    """The tags of a group and of its template, by which they are found, and a policy tells them from others'."""
    return {NAME: spec.run, RUN: spec.run, PROJECT: spec.project, OWNER: owner, DESTINATION: spec.destination}


def group(spec: Spec, launched: Launched, template_name: str, zones: Sequence[str]) -> dict[str, Any]:
    """CreateAutoScalingGroup. Min 0, so that the agent can leave; no capacity rebalancing, which would start a second one
    beside a first that still trains."""
    share = 0 if launched.spot else 100
    wanted: dict[str, Any] = {
        "AutoScalingGroupName": spec.recover.group,
        "MinSize": 0,
        "MaxSize": 1,
        "DesiredCapacity": 1,
        "CapacityRebalance": False,
        "MixedInstancesPolicy": {
            "LaunchTemplate": {
                "LaunchTemplateSpecification": {"LaunchTemplateName": template_name, "Version": "$Latest"},
                "Overrides": [{"InstanceType": one} for one in (launched.instance_type, *launched.more_types)],
            },
            "InstancesDistribution": {
                "OnDemandBaseCapacity": 0,
                "OnDemandPercentageAboveBaseCapacity": share,
                "SpotAllocationStrategy": "price-capacity-optimized",
            },
        },
        "LifecycleHookSpecificationList": [
            {
                "LifecycleHookName": HOOK,
                "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
                "HeartbeatTimeout": HOOK_TIMEOUT,
                "DefaultResult": "CONTINUE",
            }
        ],
        "Tags": [{"Key": key, "Value": value, "PropagateAtLaunch": False} for key, value in known(spec, launched.owner).items()],
    }
    if launched.subnet:
        wanted["VPCZoneIdentifier"] = launched.subnet
    else:
        wanted["AvailabilityZones"] = list(zones)
    return wanted
