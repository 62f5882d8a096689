"""Auto Scaling groups acted out: what dies is replaced, what is too much ends, and hooks hold what ends. The caller has the lock.

Sources, Amazon EC2 Auto Scaling User Guide: "Health checks for instances in an Auto Scaling group", "Amazon EC2 Auto Scaling
instance lifecycle", "How lifecycle hooks work in Auto Scaling groups", "Retrieve the target lifecycle state through instance
metadata". A replacement does not wait for the end of what it replaces. Not imitated: launch hooks, warm pools, zones.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from moto.core.exceptions import ServiceException

from .activities import Activities
from .backend import Backend
from .group_store import GROUP_TAG, Group, GroupStore, Hook, Member
from .machines import Machines
from .refusal import Refused

IN_SERVICE, WAIT, PROCEED = "InService", "Terminating:Wait", "Terminating:Proceed"
GLOBAL_TIMEOUT = 48 * 3600
"""Seconds that heartbeats can prolong a wait, or 100 times the hook's own timeout if that is less: PutLifecycleHook."""

_DEAD = ("shutting-down", "terminated")
_UNHEALTHY = (*_DEAD, "stopping", "stopped")


@dataclass
class _Action:
    """One hook that holds one instance, until `deadline` by the simulator's clock."""

    hook: Hook
    deadline: float
    last: float


class Groups:
    """`now` is the simulator's clock in seconds; `activities` what `DescribeScalingActivities` tells."""

    def __init__(
        self, store: GroupStore, backend: Backend, machines: Machines, activities: Activities, now: Callable[[], float]
    ) -> None:
        self._store = store
        self._activities = activities
        self._backend = backend
        self._machines = machines
        self._now = now
        self._actions: dict[str, dict[str, _Action]] = {}

    def act(self) -> None:
        """What every group has to do now; machines follow by `Machines.act_out`."""
        for group in self._store.groups():
            for member in list(group.instance_states):
                self._look_at(group, member)
            if not self._store.deleting(group):
                self._adjust(group)
            elif not group.instance_states:
                self._gone(group)

    # --- the end of an instance ---

    def _look_at(self, group: Group, member: Member) -> None:
        state = member.instance.state
        if member.lifecycle_state == IN_SERVICE and (state in _UNHEALTHY or member.health_status == "Unhealthy"):
            member.health_status = "Unhealthy"
            self.terminate(group, member)
        for name, action in list(self._actions.get(member.instance.id, {}).items()):
            if action.deadline <= self._now():
                self._completed(member, name, action.hook.result)
        ended = member.instance.state == "terminated" and not self._machines.works(member.instance.id)
        if member.lifecycle_state == PROCEED and ended:
            self._store.remove(group, member)
            self._activities.terminated(group.name, member.instance.id)

    def terminate(self, group: Group, member: Member) -> None:
        """By its hooks, if there is still something for them to hold."""
        self._activities.terminating(group.name, member.instance.id)
        hooks = self._store.hooks(group) if member.instance.state not in _DEAD else []
        if not hooks:
            self._proceed(member)
            return
        now = self._now()
        member.lifecycle_state = WAIT
        self._actions[member.instance.id] = {
            hook.name: _Action(hook, now + hook.timeout, now + min(GLOBAL_TIMEOUT, 100 * hook.timeout)) for hook in hooks
        }
        self._machines.set_lifecycle_state(member.instance.id, "Terminated")

    def _proceed(self, member: Member) -> None:
        self._actions.pop(member.instance.id, None)
        member.lifecycle_state = PROCEED
        if member.instance.state not in _DEAD:
            self._backend.terminate(member.instance)

    # --- hooks ---

    def complete(self, instance_id: str, group: str, hook: str, result: str) -> None:
        """CompleteLifecycleAction. Raises Refused."""
        member, _ = self._held(instance_id, group, hook)
        self._completed(member, hook, result)

    def heartbeat(self, instance_id: str, group: str, hook: str) -> None:
        """RecordLifecycleActionHeartbeat: the timeout starts anew. Raises Refused."""
        _, action = self._held(instance_id, group, hook)
        action.deadline = min(self._now() + action.hook.timeout, action.last)

    def _completed(self, member: Member, hook: str, result: str) -> None:
        """ABANDON stops the other hooks, CONTINUE lets them finish: both end in termination."""
        actions = self._actions.get(member.instance.id, {})
        actions.pop(hook, None)
        if result == "ABANDON" or not actions:
            self._proceed(member)

    def _held(self, instance_id: str, group: str, hook: str) -> tuple[Member, _Action]:
        found = self._store.group_of(instance_id)
        action = self._actions.get(instance_id, {}).get(hook)
        if found is None or found[0].name != group or action is None:
            raise Refused("ValidationError", f"No active Lifecycle Action found with instance ID {instance_id}")
        return found[1], action

    # --- the number of instances ---

    def _adjust(self, group: Group) -> None:
        members = [member for member in group.instance_states if member.lifecycle_state == IN_SERVICE]
        suspended = {process["ProcessName"] for process in group.suspended_processes}
        if "Launch" not in suspended:
            for _ in range(group.desired_capacity - len(members)):
                self._launch(group)
        if "Terminate" not in suspended:
            removable = [member for member in members if not member.protected_from_scale_in]
            for member in removable[: max(0, len(members) - group.desired_capacity)]:
                self.terminate(group, member)

    def _launch(self, group: Group) -> None:
        """What can't be launched is tried again at the next look, as EC2 does more slowly."""
        try:
            instance = self._store.launch(group)
        except ServiceException as error:
            self._activities.not_launched(group.name, str(error))
            print(f"group {group.name} could not launch an instance: {error}", file=sys.stderr, flush=True)
        except Refused as refused:
            self._activities.not_launched(group.name, f"{refused.code} - {refused.message}")
        else:
            self._activities.launched(group.name, instance.id)
            self._machines.set_lifecycle_state(instance.id, IN_SERVICE)

    # --- leaving ---

    def leave(self, group: Group, member: Member, *, decrement: bool) -> None:
        """DetachInstances: it goes on running, in no group, and without the group's tag."""
        self._activities.detaching(group.name, member.instance.id)
        self._store.remove(group, member)
        self._actions.pop(member.instance.id, None)
        self._backend.delete_tag(member.instance.id, GROUP_TAG)
        self._machines.set_lifecycle_state(member.instance.id, "Detached")
        if decrement:
            self.decrement(group)

    def decrement(self, group: Group, by: int = 1) -> None:
        group.desired_capacity -= by

    def delete(self, group: Group) -> None:
        """Its instances end without hooks (ForceDelete); until they have, it is there, and takes no other of its name."""
        self._store.set_deleting(group)
        for member in group.instance_states:
            self._proceed(member)
        if not group.instance_states:
            self._gone(group)

    def _gone(self, group: Group) -> None:
        self._store.delete(group)
        self._activities.forget(group.name)

    def delete_all(self) -> None:
        """At once."""
        for group in self._store.groups():
            self.delete(group)
            if self._store.find(group.name) is not None:
                self._gone(group)
