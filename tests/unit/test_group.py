"""The agent and its Auto Scaling group: what it asks is done, asking again is no error, a refusal says what mends it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest

from runctl_agent.contract.spec import Recover
from runctl_agent.errors import GroupError, GroupRefused
from runctl_agent.group import AutoScalingGroup
from runctl_agent.records import Instance
from runctl_simulator.cloud import Cloud
from tests.simulator.account import Account
from tests.simulator.test_groups import HOOK, NAME, Group


@pytest.fixture(autouse=True)
def _environment(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in cloud.env.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def account(cloud: Cloud) -> Iterator[Account]:
    account = Account(cloud, f"s3://bucket/{uuid.uuid4().hex}")
    try:
        yield account
    finally:
        account.close()


@pytest.fixture
def group(account: Account) -> Group:
    group = Group(account)
    group.hook()
    return group


def asked_by(group: Group, instance: str = "", *, hook: str = HOOK) -> AutoScalingGroup:
    own = Instance(instance or group.only(), group.account.cloud.region, "g5.xlarge", "us-east-1a", "boot", 1_799_999_000)
    return AutoScalingGroup(own, Recover(group=NAME, hook=hook, hook_timeout=300.0))


def test_it_leaves_and_goes_on_alone(group: Group, account: Account) -> None:
    instance = group.only()
    ours = asked_by(group)
    ours.leave(terminate=False)
    assert (group.members(), group.describe()["DesiredCapacity"]) == ({}, 0)
    assert account.state(instance) == "running", "nothing replaces it, nothing ends it"
    ours.leave(terminate=False)
    assert (group.members(), group.describe()["DesiredCapacity"]) == ({}, 0)


def test_it_leaves_by_its_end(group: Group, account: Account) -> None:
    instance = group.only()
    ours = asked_by(group)
    ours.leave(terminate=True)
    assert group.members() == {instance: "Terminating:Wait"}
    assert group.describe()["DesiredCapacity"] == 0
    ours.heartbeat()
    ours.complete()
    account.wait_for_state(instance, "terminated")
    for again in (ours.heartbeat, ours.complete, lambda: ours.leave(terminate=True)):
        again()
    assert group.members() == {}


def test_a_heartbeat_holds_the_instance(group: Group, account: Account, cloud: Cloud) -> None:
    instance = group.only()
    ours = asked_by(group)
    group.terminate(instance, decrement=True)
    for _ in range(3):
        cloud.advance(200)
        ours.heartbeat()
    assert account.state(instance) == "running"
    ours.complete()
    account.wait_for_state(instance, "terminated")


def test_without_a_hook_nothing_is_asked(group: Group, cloud: Cloud) -> None:
    ours = asked_by(group, hook="")
    cloud.deny("*")
    ours.heartbeat()
    ours.complete()
    with pytest.raises(GroupRefused):
        ours.leave(terminate=False)


ACTIONS = {
    "DetachInstances": lambda ours: ours.leave(terminate=False),
    "TerminateInstanceInAutoScalingGroup": lambda ours: ours.leave(terminate=True),
    "RecordLifecycleActionHeartbeat": AutoScalingGroup.heartbeat,
    "CompleteLifecycleAction": AutoScalingGroup.complete,
}


@pytest.mark.parametrize("action", ACTIONS)
def test_a_right_that_lacks_is_named(group: Group, cloud: Cloud, action: str) -> None:
    instance = group.only()
    ours = asked_by(group)
    cloud.deny(action)
    with pytest.raises(GroupRefused, match="AccessDenied") as caught:
        ACTIONS[action](ours)
    assert caught.value.permanent
    assert caught.value.what == f"autoscaling:{action} on {instance} in {NAME}"
    assert f"allow the instance's role autoscaling:{action}" in caught.value.mend
    assert group.members() == {instance: "InService"}


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("Throttling", 400),
        ("ResourceContention", 500),
        ("ScalingActivityInProgress", 400),
        ("ServiceUnavailable", 503),
        ("Odd", 500),
    ],
)
def test_what_passes_is_tried_again(group: Group, cloud: Cloud, code: str, status: int) -> None:
    ours = asked_by(group)
    cloud.deny("DetachInstances", code, "as told", status)
    with pytest.raises(GroupError, match=f"{code}: as told") as caught:
        ours.leave(terminate=False)
    assert not caught.value.permanent
    assert caught.value.mend


def test_a_group_that_may_not_be_smaller(account: Account) -> None:
    """Somebody has set its minimum: he is told how to undo that, and the instance stays in it."""
    group = Group(account, MinSize=1)
    instance = group.only()
    for terminate in (False, True):
        with pytest.raises(GroupRefused, match="min size") as caught:
            asked_by(group).leave(terminate=terminate)
        assert caught.value.mend == f"`aws autoscaling update-auto-scaling-group --auto-scaling-group-name {NAME} --min-size 0`"
    assert group.members() == {instance: "InService"}


def test_a_group_that_is_gone(group: Group) -> None:
    instance = group.only()
    group.autoscaling.delete_auto_scaling_group(AutoScalingGroupName=NAME, ForceDelete=True)
    ours = asked_by(group, instance)
    ours.leave(terminate=False)
    ours.heartbeat()
    ours.complete()


def test_nobody_answers(group: Group, refused: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = asked_by(group)
    monkeypatch.setenv("AWS_ENDPOINT_URL_AUTO_SCALING", refused)
    with pytest.raises(GroupError, match="Could not connect") as caught:
        ours.leave(terminate=False)
    assert not caught.value.permanent
    assert "route to Auto Scaling" in caught.value.mend
    assert list(group.members().values()) == ["InService"]
