"""The instances of runs, as EC2 shows them, each with the state that its agent posted in its tags."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runctl_agent.contract import tags
from runctl_agent.contract.names import RUN as RUN_NAME
from runctl_agent.contract.status import State
from runctl_agent.contract.tags import DESTINATION, OWNER, PROJECT, RUN, WANT, Posted, read

from .documents import Instance

if TYPE_CHECKING:
    from .ec2 import Ec2

GROUP = "aws:autoscaling:groupName"
"""The tag that Auto Scaling itself puts on the instances of a group ("Tag Auto Scaling groups and instances", User Guide)."""

INSTANCE_ID = re.compile(r"i-[0-9a-f]{8,17}")
_REGION = re.compile(r"[a-z]+(?:-[a-z]+)+-\d+")
LIVING = frozenset({"pending", "running", "stopping", "stopped"})
"""States of EC2 from which an instance can still come back ("Amazon EC2 instance state changes", Amazon EC2 User Guide)."""
ENDED = frozenset({"shutting-down", "terminated"})


@dataclass(frozen=True, slots=True)
class Machine:
    """One instance. `launch_time` is in whole seconds since the epoch, and new after each start; `power` is EC2's state."""

    id: str
    run: str
    destination: str
    power: str
    launch_time: int
    type: str
    zone: str
    image: str
    spot: bool
    reason: str  # why EC2 changed its state, for people
    posted: Posted
    want: str = ""
    token: str = ""  # the ClientToken of its RunInstances
    project: str = ""
    owner: str = ""
    group: str = ""  # the Auto Scaling group that it is in

    @property
    def own(self) -> State | None:
        """The state that this very life of the instance posted."""
        return None if self.posted.another_life else self.posted.state

    @property
    def region(self) -> str:
        """That of its zone, such as us-east-1 of us-east-1a, or us-west-2 of us-west-2-lax-1a."""
        found = _REGION.match(self.zone)
        return "" if found is None else found[0]

    @property
    def lives(self) -> bool:
        return self.power in LIVING

    def plain(self) -> Instance:
        return {
            "id": self.id,
            "state": self.power,
            "reason": self.reason,
            "launch_time": self.launch_time,
            "type": self.type,
            "zone": self.zone,
            "image": self.image,
            "spot": self.spot,
            "project": self.project,
            "owner": self.owner,
        }


def machine_of(described: Mapping[str, Any]) -> Machine:
    """One instance as DescribeInstances or RunInstances writes it."""
    tags = {tag["Key"]: tag.get("Value", "") for tag in described.get("Tags", ())}
    launch_time = int(described["LaunchTime"].timestamp())
    return Machine(
        id=described["InstanceId"],
        run=tags.get(RUN, ""),
        destination=tags.get(DESTINATION, ""),
        power=described["State"]["Name"],
        launch_time=launch_time,
        type=described.get("InstanceType", ""),
        zone=described.get("Placement", {}).get("AvailabilityZone", ""),
        image=described.get("ImageId", ""),
        spot=described.get("InstanceLifecycle") == "spot",
        reason=described.get("StateReason", {}).get("Message") or described.get("StateTransitionReason", ""),
        posted=read(tags, instance=described["InstanceId"], launch_time=launch_time),
        want=tags.get(WANT, ""),
        token=described.get("ClientToken", ""),
        project=tags.get(PROJECT, ""),
        owner=tags.get(OWNER, ""),
        group=tags.get(GROUP, ""),
    )


def same_life(state: State, machine: Machine) -> bool:
    """Whether `state`, read from anywhere, is of this life of `machine`."""
    return tags.same_life(state, machine.id, machine.launch_time)


def newest(machines: Iterable[Machine]) -> Machine | None:
    """The one launched last; of two in the same second one that lives, then by id."""
    return max(machines, key=_recency, default=None)


class Fleet:
    """What DescribeInstances says of runs, each run's in the order of `newest`. What bears no possible name is left out."""

    def __init__(self, ec2: Ec2) -> None:
        self._ec2 = ec2

    def all(self) -> list[Machine]:
        """Every instance that bears `runctl:run`."""
        return _sorted(self._ec2.instances({"tag-key": [RUN]}))

    def of(self, *names: str) -> list[Machine]:
        """Those of the runs named; a name may end in `*`, as filters of EC2 allow."""
        return _sorted(self._ec2.instances({f"tag:{RUN}": names}))

    def one(self, instance_id: str) -> Machine:
        """Raises NotFoundError."""
        return machine_of(self._ec2.instance(instance_id))


def _sorted(described: Sequence[Mapping[str, Any]]) -> list[Machine]:
    machines = [machine for machine in map(machine_of, described) if RUN_NAME.fullmatch(machine.run)]
    return sorted(sorted(machines, key=_recency, reverse=True), key=lambda one: (-one.launch_time, one.run))


def _recency(machine: Machine) -> tuple[int, bool, str]:
    # LaunchTime has whole seconds: `resume` right after `terminate` launches in the second of the one before it.
    return machine.launch_time, machine.lives, machine.id
