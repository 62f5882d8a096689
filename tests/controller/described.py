"""Instances as DescribeInstances writes them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from runctl_agent.contract.phases import Phase
from runctl_agent.contract.status import State
from runctl_agent.contract.tags import DESTINATION, RUN, encode

ID = "i-0123456789abcdef0"
LAUNCHED = 1_800_000_000


def described(
    *,
    instance: str = ID,
    run: str = "gpt2",
    power: str = "running",
    launched: int = LAUNCHED,
    spot: bool = False,
    token: str = "",
    tags: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    whole = {RUN: run, DESTINATION: "s3://bucket/runs", **(tags or {})}
    found: dict[str, Any] = {
        "InstanceId": instance,
        "State": {"Name": power},
        "LaunchTime": datetime.fromtimestamp(launched, UTC),
        "InstanceType": "g5.xlarge",
        "Placement": {"AvailabilityZone": "us-east-1a"},
        "ImageId": "ami-1",
        "ClientToken": token,
        "Tags": [{"Key": key, "Value": value} for key, value in whole.items()],
    }
    return found | ({"InstanceLifecycle": "spot"} if spot else {})


def state(phase: Phase, **more: Any) -> State:
    """Of this life of the instance, unless `more` says otherwise."""
    plain: dict[str, Any] = {"generation": 1, "agent_version": "0.1.0", "run": "gpt2", "instance": ID}
    return State(phase=phase, **plain | {"heartbeat": LAUNCHED + 100, "boot_time": LAUNCHED + 10} | more)


def posted(state: State, **more: Any) -> dict[str, Any]:
    """The instance with the state in its tags."""
    return described(tags=encode(state, "a", state.heartbeat), **more)
