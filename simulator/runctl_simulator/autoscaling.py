"""Auto Scaling's answers: what moto leaves unchecked or does not know, before it; `groups` acts afterwards.

Source of every rule: the action's own page in the Amazon EC2 Auto Scaling API Reference. The caller has the lock.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from .ec2 import XML, Answer
from .group_store import Group, GroupStore, Member
from .groups import WAIT, Groups
from .query import Query
from .refusal import Refused

NAMESPACE = "http://autoscaling.amazonaws.com/doc/2011-01-01/"
SIZES = frozenset({"Action", "Version", "AutoScalingGroupName", "MinSize", "MaxSize", "DesiredCapacity"})


class AutoScaling:
    """`denied` is shared with EC2."""

    def __init__(self, store: GroupStore, groups: Groups, moto: Callable[[Query], Answer], denied: Mapping[str, Refused]) -> None:
        self._store = store
        self._groups = groups
        self._moto = moto
        self._denied = denied

    def answer(self, query: Query) -> Answer:
        """Raises Refused."""
        self._refuse_denied(query.action)
        special = {
            "CreateAutoScalingGroup": self._create,
            "UpdateAutoScalingGroup": self._update,
            "SetDesiredCapacity": self._set_desired,
            "DeleteAutoScalingGroup": self._delete,
            "DetachInstances": self._detach,
            "TerminateInstanceInAutoScalingGroup": self._terminate,
            "CompleteLifecycleAction": self._complete,
            "RecordLifecycleActionHeartbeat": self._heartbeat,
        }
        if query.get("AutoScalingGroupName") and query.action != "CreateAutoScalingGroup":
            self._group(query)
        return special.get(query.action, self._moto)(query)

    def _refuse_denied(self, action: str) -> None:
        refused = self._denied.get(action) or self._denied.get("*")
        if refused is not None and refused.code == "UnauthorizedOperation":  # Auto Scaling has another word for it
            raise Refused("AccessDenied", f"User: the simulator's is not authorized to perform: autoscaling:{action}", 403)
        if refused is not None:
            raise refused

    # --- groups ---

    def _create(self, query: Query) -> Answer:
        name = query.get("AutoScalingGroupName")
        if self._store.find(name) is not None:
            what = f"A group with the name {name} already exists"
            raise Refused("AlreadyExists", f"AutoScalingGroup by this name already exists - {what}")
        if not query.starts_with("LaunchTemplate.") and not query.starts_with("MixedInstancesPolicy."):
            raise Refused(
                "ValidationError", "Valid requests must contain either LaunchTemplate or MixedInstancesPolicy parameter."
            )
        smallest, largest = query.number("MinSize") or 0, query.number("MaxSize") or 0
        _check_sizes(smallest, largest, query.number("DesiredCapacity"))
        return self._moto(query)

    def _update(self, query: Query) -> Answer:
        group = self._group(query)
        given = {name: query.number(name) for name in ("MinSize", "MaxSize", "DesiredCapacity")}
        smallest, largest = (_or(given["MinSize"], group.min_size), _or(given["MaxSize"], group.max_size))
        _check_sizes(smallest, largest, given["DesiredCapacity"])
        desired = _or(given["DesiredCapacity"], min(max(group.desired_capacity, smallest), largest))
        only_sizes = query.fields.keys() <= SIZES  # moto would forget the mixed instances policy
        answer = _done(query.action) if only_sizes else self._moto(query)
        group.min_size, group.max_size, group.desired_capacity = smallest, largest, desired
        return answer

    def _set_desired(self, query: Query) -> Answer:
        group, wanted = self._group(query), query.number("DesiredCapacity") or 0
        for bound, word, wrong in (
            (group.min_size, "below min value", wanted < group.min_size),
            (group.max_size, "above max value", wanted > group.max_size),
        ):
            if wrong:
                raise Refused(
                    "ValidationError", f"New SetDesiredCapacity value {wanted} is {word} {bound} for the AutoScalingGroup."
                )
        return self._moto(query)

    def _delete(self, query: Query) -> Answer:
        group = self._group(query)
        if group.instance_states and not query.flag("ForceDelete"):
            raise Refused(
                "ResourceInUse",
                "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) "
                "still in the group.",
            )
        self._groups.delete(group)
        return _done(query.action)

    # --- instances ---

    def _detach(self, query: Query) -> Answer:
        group, ids = self._group(query), query.values("InstanceIds")
        decrement = query.flag("ShouldDecrementDesiredCapacity")
        members = [self._member(group, id_) for id_ in ids]
        if decrement:
            _check_decrement(group, len(members))
        for member in members:
            self._groups.leave(group, member, decrement=decrement)
        activities = "".join(f"<member>{_activity(group.name, f'Detaching EC2 instance: {id_}')}</member>" for id_ in ids)
        return _done(query.action, f"<Activities>{activities}</Activities>")

    def _terminate(self, query: Query) -> Answer:
        id_ = query.get("InstanceId")
        found = self._store.group_of(id_)
        if found is None:
            raise Refused("ValidationError", f"Instance Id not found - No managed instance found for instance ID {id_}")
        group, member = found
        if member.lifecycle_state.startswith(WAIT.partition(":")[0]):
            raise Refused("ScalingActivityInProgress", f"Instance {id_} is being terminated already.")
        if query.flag("ShouldDecrementDesiredCapacity"):
            _check_decrement(group, 1)
            self._groups.decrement(group)
        self._groups.terminate(group, member)
        return _done(query.action, f"<Activity>{_activity(group.name, f'Terminating EC2 instance: {id_}')}</Activity>")

    # --- hooks ---

    def _complete(self, query: Query) -> Answer:
        result = query.get("LifecycleActionResult")
        if result not in ("CONTINUE", "ABANDON"):
            raise Refused("ValidationError", "Lifecycle Action Result must be CONTINUE or ABANDON")
        self._groups.complete(query.get("InstanceId"), query.get("AutoScalingGroupName"), query.get("LifecycleHookName"), result)
        return _done(query.action)

    def _heartbeat(self, query: Query) -> Answer:
        self._groups.heartbeat(query.get("InstanceId"), query.get("AutoScalingGroupName"), query.get("LifecycleHookName"))
        return _done(query.action)

    # --- what is named ---

    def _group(self, query: Query) -> Group:
        name = query.get("AutoScalingGroupName")
        group = self._store.find(name)
        if group is None:
            raise Refused("ValidationError", f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")
        return group

    def _member(self, group: Group, id_: str) -> Member:
        member = next((member for member in group.instance_states if member.instance.id == id_), None)
        if member is None:
            raise Refused("ValidationError", f"The instance {id_} is not part of Auto Scaling group {group.name}.")
        return member


def _check_sizes(smallest: int, largest: int, desired: int | None) -> None:
    if smallest > largest:
        raise Refused("ValidationError", f"Max bound, {largest}, must be greater than or equal to min bound, {smallest}")
    if desired is not None and not smallest <= desired <= largest:
        what = "above the max" if desired > largest else "below the min"
        raise Refused("ValidationError", f"Desired capacity:{desired} must not be {what} size of the group")


def _check_decrement(group: Group, by: int) -> None:
    if group.desired_capacity - by < group.min_size:
        raise Refused(
            "ValidationError",
            f"Currently, desiredSize equals minSize ({group.min_size}). Terminating instance without replacement will "
            "violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower group's "
            "min size.",
        )


def _or(given: int | None, kept: int) -> int:
    return kept if given is None else given


def _activity(group: str, description: str) -> str:
    fields = {
        "ActivityId": str(uuid.uuid4()),
        "AutoScalingGroupName": group,
        "Description": description,
        "Cause": f"At {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} it was asked for by a user request.",
        "StartTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "StatusCode": "InProgress",
        "Progress": "0",
    }
    return "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())


def _done(action: str, result: str = "") -> Answer:
    inner = f"<{action}Result>{result}</{action}Result><ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata>"
    return 200, XML, f'<{action}Response xmlns="{NAMESPACE}">{inner}</{action}Response>'.encode()
