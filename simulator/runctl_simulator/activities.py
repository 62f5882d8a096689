"""What a group did and tried, as DescribeScalingActivities tells it.

Sources: Activity (Amazon EC2 Auto Scaling API Reference); "Verify a scaling activity for an Auto Scaling group", "Troubleshoot
issues in Amazon EC2 Auto Scaling" (Amazon EC2 Auto Scaling User Guide).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from xml.sax.saxutils import escape

SUCCESSFUL, FAILED, IN_PROGRESS = "Successful", "Failed", "InProgress"
MOST = 100
"""In one answer, and kept of one group."""


@dataclass
class Activity:
    """`ended` None: it is going on."""

    group: str
    description: str
    cause: str
    status: str
    started: datetime
    ended: datetime | None
    message: str = ""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def xml(self) -> str:
        fields = {
            "ActivityId": self.id,
            "AutoScalingGroupName": self.group,
            "Description": self.description,
            "Cause": self.cause,
            "StartTime": _iso(self.started),
            "EndTime": "" if self.ended is None else _iso(self.ended),
            "StatusCode": self.status,
            "StatusMessage": self.message,
            "Progress": "0" if self.status == IN_PROGRESS else "100",
            "Details": "{}",
        }
        return "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items() if value)


class Activities:
    """`time` is the simulator's clock."""

    def __init__(self, time: Callable[[], datetime]) -> None:
        self._time = time
        self._of: dict[str, list[Activity]] = {}

    def of(self, group: str, most: int = MOST) -> Sequence[Activity]:
        """The newest first."""
        return list(reversed(self._of.get(group, [])))[:most]

    def launched(self, group: str, instance_id: str) -> Activity:
        return self._add(group, f"Launching a new EC2 instance: {instance_id}", SUCCESSFUL)

    def not_launched(self, group: str, why: str) -> None:
        """One that is refused for the reason of the one before is the same try, gone on with."""
        before = next(iter(self._of.get(group, [])[-1:]), None)
        message = f"{why} Launching EC2 instance failed."
        if before is not None and (before.status, before.message) == (FAILED, message):
            before.ended = self._time()
        else:
            self._add(group, f"Launching a new EC2 instance.  Status Reason: {message}", FAILED, message)

    def terminating(self, group: str, instance_id: str) -> Activity:
        return self._add(group, f"Terminating EC2 instance: {instance_id}", IN_PROGRESS)

    def terminated(self, group: str, instance_id: str) -> None:
        for activity in self._of.get(group, []):
            if activity.status == IN_PROGRESS and activity.description.endswith(instance_id):
                activity.status, activity.ended = SUCCESSFUL, self._time()

    def detaching(self, group: str, instance_id: str) -> Activity:
        return self._add(group, f"Detaching EC2 instance: {instance_id}", IN_PROGRESS)

    def forget(self, group: str) -> None:
        self._of.pop(group, None)

    def _add(self, group: str, description: str, status: str, message: str = "") -> Activity:
        now = self._time()
        cause = f"At {_iso(now)} an instance was started, or taken out of service, as the group's capacity and health ask."
        activity = Activity(group, description, cause, status, now, None if status == IN_PROGRESS else now, message)
        self._of.setdefault(group, []).append(activity)
        del self._of[group][:-MOST]
        return activity


def _iso(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"
