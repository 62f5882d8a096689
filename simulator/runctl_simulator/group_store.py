"""moto's models of Auto Scaling: it stores groups and answers what there is, and `groups` acts. The caller has the lock.

Of itself moto launches and replaces as soon as a number changes, by a launch of its own that leaves out half of the template:
both are taken from it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup, InstanceState, autoscaling_backends
from moto.ec2.utils import convert_tag_spec

from .backend import ACCOUNT, Backend, MotoInstance
from .group_rules import DEFAULT_TIMEOUT
from .refusal import Refused

GROUP_TAG = "aws:autoscaling:groupName"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
DELETING = "Delete in progress"
"""The one Status that a group ever has: AutoScalingGroup (API Reference)."""


class Member(Protocol):
    """An instance of a group, as moto shows it."""

    instance: MotoInstance
    lifecycle_state: str
    health_status: str
    protected_from_scale_in: bool


class Group(Protocol):
    name: str
    min_size: int
    max_size: int
    desired_capacity: int
    instance_states: list[Member]
    suspended_processes: list[dict[str, str]]
    mixed_instances_policy: Any
    ec2_launch_template: Any
    launch_template_version: Any
    availability_zones: list[str]
    vpc_zone_identifier: str | None

    def get_propagated_tags(self) -> dict[str, str]: ...


@dataclass(frozen=True)
class Hook:
    """`timeout` in seconds; `result`: CONTINUE or ABANDON, when nobody completes it."""

    name: str
    timeout: int
    result: str


class GroupStore:
    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._moto: Any = autoscaling_backends[ACCOUNT][backend.region]
        FakeAutoScalingGroup.set_desired_capacity = _note
        AutoScalingBackend.notify_terminate_instances = lambda *_: None

    def groups(self) -> list[Group]:
        return list(self._moto.autoscaling_groups.values())

    def find(self, name: str) -> Group | None:
        group: Group | None = self._moto.autoscaling_groups.get(name)
        return group

    def group_of(self, instance_id: str) -> tuple[Group, Member] | None:
        for group in self.groups():
            for member in group.instance_states:
                if member.instance.id == instance_id:
                    return group, member
        return None

    def hooks(self, group: Group) -> list[Hook]:
        """Those of termination."""
        found = self._moto.describe_lifecycle_hooks(group.name)
        return [Hook(h.name, h.heartbeat_timeout, h.default_result) for h in found if h.lifecycle_transition == TERMINATING]

    def template_data(self, id_: str, name: str, version: str) -> Mapping[str, Any] | None:
        """The launch template's; None: there is none of that id, name or version."""
        return self._backend.template_data(id_, name, version)

    def instance_types(self) -> Collection[str]:
        return self._backend.instance_types()

    def add_hook(self, group: str, hook: Mapping[str, str]) -> None:
        """Of a LifecycleHookSpecification."""
        timeout = int(hook.get("HeartbeatTimeout") or DEFAULT_TIMEOUT)
        result = hook.get("DefaultResult") or "ABANDON"
        self._moto.create_lifecycle_hook(hook["LifecycleHookName"], group, hook["LifecycleTransition"], timeout, result)

    def deleting(self, group: Group) -> bool:
        return vars(group).get("status") == DELETING

    def set_deleting(self, group: Group) -> None:
        vars(group)["status"] = DELETING

    def remove(self, group: Group, member: Member) -> None:
        group.instance_states = [other for other in group.instance_states if other is not member]

    def delete(self, group: Group) -> None:
        """Its hooks go with it: "Amazon EC2 Auto Scaling lifecycle hooks" (User Guide), Considerations."""
        del self._moto.autoscaling_groups[group.name]
        for key, hook in list(self._moto.lifecycle_hooks.items()):
            if hook.auto_scaling_group_name == group.name:
                del self._moto.lifecycle_hooks[key]

    def launch(self, group: Group) -> MotoInstance:
        """One more, by the launch template and the first of the policy's overrides that there is.

        Raises Refused where there is none; moto's errors are raised as they are.
        """
        template = group.ec2_launch_template
        version = template.get_version(group.launch_template_version)
        data = version.data
        spot = _spot(group, data)
        given = convert_tag_spec(data.get("TagSpecifications", []))
        propagated = {**group.get_propagated_tags(), GROUP_TAG: group.name}
        subnets = [name.strip() for name in (group.vpc_zone_identifier or "").split(",") if name.strip()]
        reservation = self._backend.ec2.run_instances(
            version.image_id,
            1,
            version.user_data,
            version.security_groups,
            instance_type=self._available(group, version, spot=spot),
            is_instance_type_default=False,
            region_name=self._backend.region,
            placement=None if subnets else group.availability_zones[0],
            subnet_id=subnets[0] if subnets else None,
            key_name=data.get("KeyName"),
            security_group_ids=list(data.get("SecurityGroupIds", [])),
            launch_template={"LaunchTemplateId": template.id, "Version": version.number},
            metadata_options=data.get("MetadataOptions", {}),
            instance_initiated_shutdown_behavior=data.get("InstanceInitiatedShutdownBehavior"),
            lifecycle="spot" if spot else None,
            tags={"instance": propagated, "volume": given.get("volume", {})},
        )
        instance: MotoInstance = reservation.instances[0]
        profile = data.get("IamInstanceProfile", {})
        if profile:
            self._backend.ec2.associate_iam_instance_profile(
                instance_id=instance.id,
                iam_instance_profile_name=profile.get("Name"),
                iam_instance_profile_arn=profile.get("Arn"),
            )
        vars(instance)["autoscaling_group"] = group
        group.instance_states.append(InstanceState(instance))
        return instance

    def _available(self, group: Group, version: Any, *, spot: bool) -> str:
        types = _instance_types(group, version)
        found = next((one for one in types if one not in self._backend.exhausted), None)
        if found is None:
            why = "There is no Spot capacity available that matches your request."
            if not spot:
                why = f"We currently do not have sufficient {', '.join(types)} capacity in the Availability Zone you requested."
            raise Refused("InsufficientInstanceCapacity", why)
        return found


def _note(group: Any, capacity: int | None) -> None:
    """In place of moto's own: the number is kept, and nothing is launched."""
    group.desired_capacity = group.min_size if capacity is None else capacity


def _instance_types(group: Group, version: Any) -> list[str]:
    overrides = ((group.mixed_instances_policy or {}).get("LaunchTemplate") or {}).get("Overrides") or []
    types = [str(override["InstanceType"]) for override in overrides if override.get("InstanceType")]
    return types or [str(version.instance_type)]


def _spot(group: Group, data: dict[str, Any]) -> bool:
    """InstancesDistribution (Auto Scaling API Reference); without a policy the template decides."""
    if not group.mixed_instances_policy:
        return (data.get("InstanceMarketOptions") or {}).get("MarketType") == "spot"
    distribution = group.mixed_instances_policy.get("InstancesDistribution") or {}
    base = int(distribution.get("OnDemandBaseCapacity", 0))
    percentage = int(distribution.get("OnDemandPercentageAboveBaseCapacity", 100))
    lives = [member for member in group.instance_states if member.lifecycle_state == "InService"]
    on_demand = sum(1 for member in lives if member.instance.lifecycle != "spot")
    if on_demand < base:
        return False
    return on_demand - base >= (len(lives) + 1 - base) * percentage / 100
