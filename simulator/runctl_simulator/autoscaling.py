"""Auto Scaling's answers: what moto leaves unchecked or does not know, before it; `groups` acts afterwards.

Source of every rule: the action's own page in the Amazon EC2 Auto Scaling API Reference. The caller has the lock.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping

from . import group_rules as rules
from .activities import MOST, Activities
from .ec2 import XML, Answer
from .group_store import Group, GroupStore, Member
from .groups import WAIT, Groups
from .query import Query
from .refusal import Refused

NAMESPACE = "http://autoscaling.amazonaws.com/doc/2011-01-01/"
STILL = frozenset({"DeleteAutoScalingGroup", "DescribeScalingActivities", "TerminateInstanceInAutoScalingGroup"})
"""What a group that is being deleted answers."""
SIZES = frozenset({"Action", "Version", "AutoScalingGroupName", "MinSize", "MaxSize", "DesiredCapacity"})


class AutoScaling:
    """`denied` is shared with EC2."""

    def __init__(
        self,
        store: GroupStore,
        groups: Groups,
        activities: Activities,
        moto: Callable[[Query], Answer],
        denied: Mapping[str, Refused],
    ) -> None:
        self._store = store
        self._activities = activities
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
            "DescribeScalingActivities": self._told,
            "DetachInstances": self._detach,
            "TerminateInstanceInAutoScalingGroup": self._terminate,
            "CompleteLifecycleAction": self._complete,
            "RecordLifecycleActionHeartbeat": self._heartbeat,
        }
        if query.get("AutoScalingGroupName") and query.action != "CreateAutoScalingGroup":
            group = self._group(query)
            if self._store.deleting(group) and query.action not in STILL:
                raise Refused("ValidationError", "The AutoScaling group may not be modified while it is pending delete")
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
        if (existing := self._store.find(name)) is not None:
            what = f"A group with the name {name} already exists"
            if self._store.deleting(existing):
                what += (
                    " and is pending delete.  Please wait until Autoscaling completes the deletion process before creating "
                    "another group with the same name."
                )
            raise Refused("AlreadyExists", f"AutoScalingGroup by this name already exists - {what}")
        if not query.starts_with("LaunchTemplate.") and not query.starts_with("MixedInstancesPolicy."):
            raise Refused(
                "ValidationError", "Valid requests must contain either LaunchTemplate or MixedInstancesPolicy parameter."
            )
        smallest, largest = query.number("MinSize") or 0, query.number("MaxSize") or 0
        rules.check_sizes(smallest, largest, query.number("DesiredCapacity"))
        rules.check_name(name)
        rules.check_place(query.values("AvailabilityZones"), query.get("VPCZoneIdentifier").split(","))
        rules.check_tags([tag.get("Key", "") for tag in query.structures("Tags")])
        hooks = query.structures("LifecycleHookSpecificationList")
        rules.check_hooks(hooks)
        self._check_template(query)
        answer = self._moto(query)
        if answer[0] == 200:
            for hook in hooks:  # moto leaves them out
                self._store.add_hook(name, hook)
        return answer

    def _check_template(self, query: Query) -> None:
        """The one of a policy; that there is none is told by moto."""
        policy = "MixedInstancesPolicy."
        where = f"{policy}LaunchTemplate.LaunchTemplateSpecification." if query.starts_with(policy) else "LaunchTemplate."
        names = (query.get(f"{where}LaunchTemplateId"), query.get(f"{where}LaunchTemplateName"))
        data = self._store.template_data(*names, query.get(f"{where}Version") or "$Default")
        if data is None:
            raise Refused("ValidationError", "You must use a valid fully-formed launch template. The template does not exist.")
        known = self._store.instance_types()
        rules.check_type(str(data.get("InstanceType") or ""), known)
        if query.starts_with(policy):
            types = [
                one["InstanceType"] for one in query.structures(f"{policy}LaunchTemplate.Overrides") if "InstanceType" in one
            ]
            strategy = query.get(f"{policy}InstancesDistribution.SpotAllocationStrategy")
            rules.check_policy(data, types, strategy, known)

    def _update(self, query: Query) -> Answer:
        group = self._group(query)
        given = {name: query.number(name) for name in ("MinSize", "MaxSize", "DesiredCapacity")}
        smallest, largest = (_or(given["MinSize"], group.min_size), _or(given["MaxSize"], group.max_size))
        rules.check_sizes(smallest, largest, given["DesiredCapacity"])
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

    def _told(self, query: Query) -> Answer:
        """DescribeScalingActivities of one group."""
        found = self._activities.of(query.get("AutoScalingGroupName"), query.number("MaxRecords") or MOST)
        members = "".join(f"<member>{activity.xml()}</member>" for activity in found)
        return _done(query.action, f"<Activities>{members}</Activities>")

    # --- instances ---

    def _detach(self, query: Query) -> Answer:
        group, ids = self._group(query), query.values("InstanceIds")
        decrement = query.flag("ShouldDecrementDesiredCapacity")
        members = [self._member(group, id_) for id_ in ids]
        if decrement:
            rules.check_decrement(group.desired_capacity, group.min_size, len(members))
        for member in members:
            self._groups.leave(group, member, decrement=decrement)
        found = reversed(self._activities.of(group.name, len(members)))
        activities = "".join(f"<member>{activity.xml()}</member>" for activity in found)
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
            rules.check_decrement(group.desired_capacity, group.min_size, 1)
            self._groups.decrement(group)
        self._groups.terminate(group, member)
        (activity,) = self._activities.of(group.name, 1)
        return _done(query.action, f"<Activity>{activity.xml()}</Activity>")

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


def _or(given: int | None, kept: int) -> int:
    return kept if given is None else given


def _done(action: str, result: str = "") -> Answer:
    inner = f"<{action}Result>{result}</{action}Result><ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata>"
    return 200, XML, f'<{action}Response xmlns="{NAMESPACE}">{inner}</{action}Response>'.encode()
