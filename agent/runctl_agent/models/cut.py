"""Cuts the models anew from the botocore that is installed: `python -m runctl_agent.models.cut`, after a new call in ec2.py or
group.py."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from botocore.session import get_session

OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "ec2": ("CreateTags", "DescribeInstances", "DescribeTags"),
    "autoscaling": (
        "CompleteLifecycleAction",
        "DetachInstances",
        "RecordLifecycleActionHeartbeat",
        "TerminateInstanceInAutoScalingGroup",
    ),
}
VERSIONS = {"ec2": "2016-11-15", "autoscaling": "2011-01-01"}

ANSWERED: Mapping[str, tuple[str, ...]] = {
    "DescribeInstancesResult": ("Reservations",),
    "Reservation": ("Instances",),
    "Instance": ("InstanceId", "LaunchTime"),
    "DetachInstancesAnswer": (),
    "ActivityType": (),
}
"""Of these structures only these members: an answer's other elements are passed over."""

DIRECTORY = os.path.dirname(os.path.abspath(__file__))
Model = dict[str, Any]


def path(service: str) -> str:
    return os.path.join(DIRECTORY, service, VERSIONS[service], "service-2.json")


def cut(stock: Model, service: str) -> Model:
    """What the agent needs of a service's model."""
    operations = {name: _bare(stock["operations"][name]) for name in OPERATIONS[service]}
    shapes: dict[str, Model] = {}
    wanted = [operation[side]["shape"] for operation in operations.values() for side in ("input", "output") if side in operation]
    while wanted:
        name = wanted.pop()
        if name not in shapes:
            shapes[name] = _shape(name, stock["shapes"][name])
            wanted += _named_in(shapes[name])
    return {"version": stock["version"], "metadata": stock["metadata"], "operations": operations, "shapes": shapes}


def _shape(name: str, stock: Model) -> Model:
    shape: Model = _bare(stock)
    if name in ANSWERED:
        shape["members"] = {member: shape["members"][member] for member in ANSWERED[name]}
    return shape


def _named_in(shape: Model) -> list[str]:
    parts = [*shape.get("members", {}).values(), *(shape[key] for key in ("member", "key", "value") if key in shape)]
    return [part["shape"] for part in parts]


def _bare(value: Any) -> Any:
    """Without what is for readers, and the shapes of errors, of which only the code is asked."""
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in value.items() if key not in ("documentation", "errors")}
    return [_bare(item) for item in value] if isinstance(value, list) else value


def main() -> None:
    loader = get_session().get_component("data_loader")
    for service, version in VERSIONS.items():
        os.makedirs(os.path.dirname(path(service)), exist_ok=True)
        with open(path(service), "w", encoding="ascii") as file:
            json.dump(cut(loader.load_service_model(service, "service-2", version), service), file, indent=1, sort_keys=True)
            file.write("\n")


if __name__ == "__main__":
    main()
