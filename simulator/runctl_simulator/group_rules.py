"""The rules of CreateAutoScalingGroup that moto does not keep. Pure: each raises `Refused`, or does nothing.

Sources: CreateAutoScalingGroup, LifecycleHookSpecification, InstancesDistribution (Amazon EC2 Auto Scaling API Reference);
"Auto Scaling groups with multiple instance types and purchase options" (Amazon EC2 Auto Scaling User Guide).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from .refusal import Refused

TRANSITIONS = frozenset({"autoscaling:EC2_INSTANCE_LAUNCHING", "autoscaling:EC2_INSTANCE_TERMINATING"})
RESULTS = frozenset({"CONTINUE", "ABANDON"})
SHORTEST, LONGEST = 30, 7200
"""Seconds of a hook's HeartbeatTimeout; an hour where none is given."""
DEFAULT_TIMEOUT = 3600
STRATEGIES = frozenset({"lowest-price", "capacity-optimized", "capacity-optimized-prioritized", "price-capacity-optimized"})
LONGEST_NAME = 255
MOST_TAGS = 50


def check_sizes(smallest: int, largest: int, desired: int | None) -> None:
    if smallest > largest:
        raise Refused("ValidationError", f"Max bound, {largest}, must be greater than or equal to min bound, {smallest}")
    if desired is not None and not smallest <= desired <= largest:
        what = "above the max" if desired > largest else "below the min"
        raise Refused("ValidationError", f"Desired capacity:{desired} must not be {what} size of the group")


def check_name(name: str) -> None:
    if not 0 < len(name) <= LONGEST_NAME or ":" in name:
        raise Refused("ValidationError", f"1 validation error detected: Value '{name}' at 'autoScalingGroupName' is not valid")


def check_place(zones: Sequence[str], subnets: Sequence[str]) -> None:
    if not zones and not subnets:
        raise Refused("ValidationError", "At least one Availability Zone or VPC Subnet is required.")


def check_tags(keys: Sequence[str]) -> None:
    if len(keys) > MOST_TAGS:
        raise Refused("ValidationError", f"No more than {MOST_TAGS} tags may be specified")
    for key in keys:
        if key.lower().startswith("aws:"):
            raise Refused("ValidationError", f"Tag keys starting with 'aws:' are reserved for internal use: {key}")


def check_hooks(hooks: Sequence[Mapping[str, str]]) -> None:
    """Of a LifecycleHookSpecificationList."""
    for hook in hooks:
        if not hook.get("LifecycleHookName"):
            raise Refused("ValidationError", "Lifecycle hook name must be specified")
        if hook.get("LifecycleTransition") not in TRANSITIONS:
            raise Refused("ValidationError", f"Lifecycle transition must be one of {', '.join(sorted(TRANSITIONS))}")
        timeout = int(hook.get("HeartbeatTimeout") or DEFAULT_TIMEOUT)
        if not SHORTEST <= timeout <= LONGEST:
            raise Refused("ValidationError", f"HeartbeatTimeout must be between {SHORTEST} and {LONGEST} seconds")
        if hook.get("DefaultResult", "ABANDON") not in RESULTS:
            raise Refused("ValidationError", "Lifecycle hook DefaultResult must be CONTINUE or ABANDON")


def check_policy(data: Mapping[str, Any], types: Sequence[str], strategy: str, known: Collection[str]) -> None:
    """A MixedInstancesPolicy over a template with `data`; `types` are its overrides'."""
    if data.get("InstanceMarketOptions"):
        raise Refused(
            "ValidationError",
            "You cannot use a launch template that is set to request Spot Instances (InstanceMarketOptions) when you configure "
            "an Auto Scaling group with a mixed instances policy.",
        )
    if strategy and strategy not in STRATEGIES:
        raise Refused("ValidationError", f"Invalid SpotAllocationStrategy: {strategy}")
    if len(set(types)) != len(types):
        raise Refused("ValidationError", "The overrides contain duplicate instance types.")
    for name in types:
        check_type(name, known)


def check_type(name: str, known: Collection[str]) -> None:
    if name and name not in known:
        raise Refused(
            "ValidationError",
            f"You must use a valid fully-formed launch template. Invalid value '{name}' for InstanceType.",
        )


def check_decrement(desired: int, smallest: int, by: int) -> None:
    if desired - by < smallest:
        raise Refused(
            "ValidationError",
            f"Currently, desiredSize equals minSize ({smallest}). Terminating instance without replacement will "
            "violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower group's "
            "min size.",
        )
