"""A run in a group of its own: what dies is replaced, goes on where it was, and leaves nothing behind."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3

from tests.e2e.runs import Operator, steps
from tests.e2e.test_scenarios import in_s3, wait_for

RESUMES = """
import os, pathlib, pickle, sys, time, zipfile

folder = pathlib.Path("checkpoints")
folder.mkdir(exist_ok=True)
resumed = os.environ["RUNCTL_RESUME_FROM"]
begin = 1
if resumed:
    with zipfile.ZipFile(resumed) as archive:
        begin = pickle.loads(archive.read("a/data.pkl"))["step"] + 1
for step in range(begin, 200):
    with zipfile.ZipFile(folder / f"part_{step}.tmp", "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps({"step": step}))
        archive.writestr("a/data/0", bytes(100_000))
    os.replace(folder / f"part_{step}.tmp", folder / f"model_step_{step}.pt")
    time.sleep(0.2)
    if step >= int(sys.argv[1]):
        break
"""


def scaling(operator: Operator) -> Any:
    return boto3.client(
        "autoscaling",
        region_name=operator.cloud.region,
        endpoint_url=operator.cloud.endpoint,
        aws_access_key_id=operator.env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=operator.env["AWS_SECRET_ACCESS_KEY"],
    )


def groups(operator: Operator) -> list[dict[str, Any]]:
    return [
        group
        for group in scaling(operator).describe_auto_scaling_groups()["AutoScalingGroups"]
        if any(tag["Value"] == operator.run for tag in group["Tags"])
    ]


def templates(operator: Operator) -> list[str]:
    found = operator.ec2.describe_launch_templates()["LaunchTemplates"]
    return [one["LaunchTemplateName"] for one in found if f"runctl-{operator.run}-" in one["LaunchTemplateName"]]


def living(operator: Operator) -> list[str]:
    return [one["InstanceId"] for one in operator.instances() if one["State"]["Name"] in ("pending", "running")]


def resumed_from(operator: Operator, instance: str) -> int:
    """The step, as its agent said."""
    found = re.search(r"to resume from: \S+, step (\d+)", operator.cloud.console(instance))
    assert found is not None
    return int(found[1])


def beats(operator: Operator, instance: str) -> int:
    """How often its agent has prolonged the hook."""
    return operator.cloud.console(instance).count("asked the group to wait")


def launched(operator: Operator, last: int, *options: str) -> str:
    operator.script(RESUMES)
    return operator.launch("--config", "run.yaml", "--recover", "--spot", *options, "--", str(last))


def committed_steps(operator: Operator) -> int:
    return int(in_s3(operator).get("step") or 0)


def test_an_instance_that_dies_is_replaced_and_the_run_goes_on_and_ends_its_group(operator: Operator) -> None:
    first = launched(operator, 100, "--on-finish", "terminate", "--instance-type", "g5.xlarge,g5.2xlarge")
    (group,) = groups(operator)
    assert (group["MinSize"], group["DesiredCapacity"], group["MaxSize"]) == (0, 1, 1)
    assert not group["CapacityRebalance"]
    assert operator.instance(first)["InstanceLifecycle"] == "spot"
    wait_for(lambda: committed_steps(operator) >= 2)
    lost_at = committed_steps(operator)
    operator.cloud.lose(first)
    told = operator.wait()
    assert (told["outcome"], told["exit_code"]) == ("finished", 0)
    (second,) = {one["InstanceId"] for one in operator.instances()} - {first}
    wait_for(lambda: operator.instance(second)["State"]["Name"] == "terminated")
    (group,) = groups(operator)
    assert (group["DesiredCapacity"], group["Instances"]) == (0, [])
    assert "the group need not wait any more" in operator.cloud.console(second), "its hook held it no longer than it had to"
    began = resumed_from(operator, second) + 1
    assert began > lost_at, "it went on where it was, not at the beginning"
    assert set(operator.names()) >= set(steps(*range(1, lost_at + 1), *range(began, 101)))
    state = in_s3(operator)
    assert (state["phase"], state["attempt"], state["instance"]) == ("finished", 2, second)


def test_while_there_is_no_capacity_the_status_says_what_is_waited_for(operator: Operator) -> None:
    first = launched(operator, 199)
    wait_for(lambda: committed_steps(operator) >= 1)
    assert operator.status()["replacing"] is None
    (group,) = (group["AutoScalingGroupName"] for group in groups(operator))
    operator.cloud.exhaust("g5.xlarge")
    operator.cloud.lose(first)
    wait_for(lambda: "capacity" in (operator.status()["replacing"] or {}).get("says", ""))
    assert operator.status()["replacing"]["group"] == group
    assert f"{group} replaces its instance: " in operator.command("status", operator.run).stdout
    assert "waits for an instance" in operator.command("list").stdout
    operator.cloud.exhaust("none.such")
    wait_for(lambda: living(operator))
    wait_for(lambda: operator.status()["current"])
    assert operator.status()["replacing"] is None
    operator.command("terminate", operator.run, "--now")
    assert operator.status()["replacing"] is None, "nothing comes after that"


def test_a_notice_is_no_end_of_a_run_in_a_group(operator: Operator) -> None:
    first = launched(operator, 199)
    wait_for(lambda: committed_steps(operator) >= 2)
    operator.cloud.interrupt_spot(first, "terminate", datetime.now(UTC) + timedelta(seconds=12))
    wait_for(lambda: in_s3(operator).get("phase") == "interrupted")
    wait_for(lambda: in_s3(operator).get("instance") not in (first, "") and in_s3(operator).get("phase") == "training")
    (second,) = living(operator)
    assert resumed_from(operator, second) >= 2
    assert in_s3(operator)["attempt"] == 2
    error = operator.refused("stop", operator.run, code=6)
    assert "one-time spot" in error["why"] or "group" in error["why"]

    operator.command("terminate", operator.run)
    assert (living(operator), groups(operator), templates(operator)) == ([], [], [])
    assert in_s3(operator)["phase"] == "stopped"

    again = operator.json("resume", operator.run)["instance"]
    wait_for(lambda: in_s3(operator).get("instance") == again and in_s3(operator).get("phase") == "training")
    assert len(groups(operator)) == 1
    operator.command("terminate", operator.run, "--now")
    assert (living(operator), groups(operator), templates(operator)) == ([], [], [])


def test_an_instance_that_its_group_ends_is_held_until_everything_is_durable(operator: Operator) -> None:
    first = launched(operator, 199)
    (group,) = groups(operator)
    (hook,) = scaling(operator).describe_lifecycle_hooks(AutoScalingGroupName=group["AutoScalingGroupName"])["LifecycleHooks"]
    assert (hook["HeartbeatTimeout"], hook["DefaultResult"]) == (600, "CONTINUE")
    wait_for(lambda: committed_steps(operator) >= 2)
    scaling(operator).terminate_instance_in_auto_scaling_group(InstanceId=first, ShouldDecrementDesiredCapacity=False)
    wait_for(lambda: beats(operator, first) == 1)
    operator.cloud.advance(400)
    operator.cloud.kill_agent(first)
    wait_for(lambda: beats(operator, first) == 2)
    operator.cloud.advance(400)
    operator.command("flush", first)
    assert operator.instance(first)["State"]["Name"] == "running"
    operator.command("terminate", operator.run, "--now")
    assert (living(operator), groups(operator), templates(operator)) == ([], [], [])


def test_a_replacement_that_comes_up_after_the_end_starts_nothing_and_goes(operator: Operator) -> None:
    first = launched(operator, 3)
    assert operator.wait()["outcome"] == "finished"
    (group,) = groups(operator)
    wait_for(lambda: groups(operator)[0]["DesiredCapacity"] == 0)
    assert living(operator) == [first], "on_finish: keep leaves the group, and stays"
    scaling(operator).set_desired_capacity(AutoScalingGroupName=group["AutoScalingGroupName"], DesiredCapacity=1)
    wait_for(lambda: len(operator.instances()) == 2)
    (second,) = {one["InstanceId"] for one in operator.instances()} - {first}
    wait_for(lambda: operator.instance(second)["State"]["Name"] == "terminated")
    assert groups(operator)[0]["DesiredCapacity"] == 0
    assert "to resume from" not in operator.cloud.console(second)
    assert "nothing is started: attempt 1 is finished" in operator.cloud.console(second)
    assert operator.names() == steps(1, 2, 3)
