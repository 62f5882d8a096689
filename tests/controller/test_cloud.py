"""What moto alone does not do: throttling, denial, ClientToken, late tags; by the real command against the simulated EC2."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runctl_agent.contract.gc import Gc, decode_gc, encode_gc
from runctl_agent.contract.keys import Keys, snapshot
from runctl_simulator.cloud import Cloud
from tests.controller.aside import aside
from tests.controller.between import between, unanswered
from tests.controller.stage import Stage, ended
from tests.e2e.seaweed import S3


@pytest.fixture
def stage(tmp_path: Path, s3: S3, cloud: Cloud) -> Iterator[Stage]:
    folder = tmp_path / "project"
    folder.mkdir()
    found = Stage(folder, s3, cloud.endpoint, image=cloud.image_id)
    (folder / "train.py").write_text("import time\ntime.sleep(600)\n")
    try:
        yield found
    finally:
        found.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_while_the_instance_is_launched_leaves_nothing_behind(stage: Stage, cloud: Cloud, number: signal.Signals) -> None:
    arguments = ("launch", "train.py", "--run", stage.run, "--ami", stage.image)
    with between(cloud.endpoint) as middle, stage.start(*arguments, env={"AWS_ENDPOINT_URL_EC2": middle.endpoint}) as process:
        assert middle.launched.wait(60)
        process.send_signal(number)
        time.sleep(0.1)
        assert process.poll() is None, "it is only noted"
        middle.go.set()
        done = ended(process, 130)
    (instance,) = stage.instances()
    assert instance["State"]["Name"] in ("shutting-down", "terminated")
    assert f"terminated {instance['InstanceId']}" in done.stderr
    assert f"{stage.run} was not launched: interrupted; what had begun was undone\n  mend: the same command" in done.stderr
    assert done.stdout == ""
    assert {key.partition("/")[0] for key in stage.objects()} == {"code"}
    assert stage.launch(), "the name is free again"


def test_a_lost_answer_leaves_nothing_behind(stage: Stage, cloud: Cloud) -> None:
    arguments = ("launch", "train.py", "--run", stage.run, "--ami", stage.image)
    with between(cloud.endpoint, lost=True) as middle:
        done = stage.command(*arguments, code=7, env={"AWS_ENDPOINT_URL_EC2": middle.endpoint})
    (instance,) = stage.instances()
    assert instance["State"]["Name"] in ("shutting-down", "terminated")
    assert "ec2:RunInstances" in done.stderr
    assert not [key for key in stage.objects() if key.endswith(("/run.json", "/launch.json"))], "its agent may have come up"


def test_ctrl_c_while_it_is_watched_ends_the_watching_alone(stage: Stage) -> None:
    with stage.start("launch", "train.py", "--run", stage.run, "--ami", stage.image, "--wait") as process:
        assert process.stdout is not None
        assert "launched i-" in process.stdout.readline()
        process.stdout.readline()  # it watches
        process.send_signal(signal.SIGINT)
        done = ended(process, 130)
    assert (
        f"{stage.run} is not watched any more: interrupted; the training goes on\n  mend: runctl wait {stage.run}" in done.stderr
    )
    assert stage.instances()[0]["State"]["Name"] in ("pending", "running")


def test_ctrl_c_while_it_is_checked_has_spent_nothing(stage: Stage, cloud: Cloud) -> None:
    with unanswered() as (endpoint, asked), stage.start("launch", "train.py", env={"AWS_ENDPOINT_URL_S3": endpoint}) as process:
        assert asked.wait(60)
        process.send_signal(signal.SIGINT)
        done = ended(process, 130)
    assert "train.py was not launched: interrupted; nothing was sent, written or spent" in done.stderr


def test_what_was_really_denied(stage: Stage, cloud: Cloud) -> None:
    cloud.deny(
        "RunInstances", "UnauthorizedOperation", "You are not authorized. Encoded authorization failure message: AbC-1", 403
    )
    context = {"principal": {"arn": "arn:me"}, "action": "iam:PassRole", "resource": "arn:role"}
    with aside(decoded={"allowed": False, "explicitDeny": False, "context": context}) as beside:
        error = stage.refused("launch", "train.py", code=4, env={"AWS_ENDPOINT_URL_STS": beside.endpoint})
    assert error["why"] == "arn:me may not iam:PassRole on arn:role: no policy allows it"
    assert error["mend"] == "allow iam:PassRole on arn:role in the policy of arn:me"
    with aside() as beside:
        error = stage.refused("launch", "train.py", code=4, env={"AWS_ENDPOINT_URL_STS": beside.endpoint})
    assert error["why"] == "UnauthorizedOperation: You are not authorized."


def test_the_next_type_where_the_first_has_no_capacity(stage: Stage, cloud: Cloud) -> None:
    cloud.exhaust("g5.xlarge")
    try:
        done = stage.command(
            "launch", "train.py", "--run", stage.run, "--ami", stage.image, "--instance-type", "g5.xlarge,m5.large"
        )
    finally:
        cloud.exhaust("none.of.these")
    (instance,) = stage.instances()
    assert instance["InstanceType"] == "m5.large"
    assert "no capacity for g5.xlarge (InsufficientInstanceCapacity" in done.stderr
    assert "trying m5.large" in done.stderr


def test_wait_goes_on_while_it_is_throttled(stage: Stage, cloud: Cloud) -> None:
    (stage.folder / "train.py").write_text("raise SystemExit(4)\n")
    stage.launch()
    cloud.deny("DescribeInstances", code="RequestLimitExceeded", message="Request limit exceeded.", status=503)
    with stage.start("wait", stage.run, "--every", "200ms") as process:
        assert process.stdout is not None
        assert "RequestLimitExceeded" in process.stdout.readline()
        cloud.allow("DescribeInstances")
        done = ended(process, 10)
    assert "exit code 4" in done.stdout


def test_throttled_for_good(stage: Stage, cloud: Cloud) -> None:
    cloud.deny("DescribeInstances", code="RequestLimitExceeded", message="Request limit exceeded.", status=503)
    error = stage.refused("list", code=7)
    assert "RequestLimitExceeded" in error["why"]
    assert "try again" in error["mend"]


@pytest.mark.parametrize(
    ("action", "command"),
    [
        ("DescribeInstances", ("list",)),
        ("DescribeImages", ("launch", "train.py")),
        ("RunInstances", ("launch", "train.py")),
    ],
)
def test_denied(stage: Stage, cloud: Cloud, action: str, command: tuple[str, ...]) -> None:
    cloud.deny(action)
    error = stage.refused(*command, code=4)
    assert error["mend"] == f"allow ec2:{action} in the policy of the role or user in use"
    assert stage.objects() == []


def test_denied_on_the_instance(stage: Stage, cloud: Cloud) -> None:
    stage.launch()
    cloud.deny("CreateTags")
    assert "ec2:CreateTags" in stage.refused("stop", stage.run, code=4)["mend"]
    cloud.deny("StopInstances")
    assert "ec2:StopInstances" in stage.refused("stop", stage.run, "--now", code=4)["mend"]
    assert stage.instances()[0]["State"]["Name"] in ("pending", "running")


def test_no_capacity_frees_the_name(stage: Stage, cloud: Cloud) -> None:
    cloud.deny("RunInstances", code="InsufficientInstanceCapacity", message="There is no capacity.", status=500)
    error = stage.refused("launch", "train.py", "--run", stage.run, "--ami", stage.image, code=4)
    assert "--instance-type" in error["mend"]
    assert stage.objects() == []


def test_two_resumes_at_once_launch_one_instance(stage: Stage) -> None:
    first = stage.launch()
    stage.ec2.terminate_instances(InstanceIds=[first])
    end = time.monotonic() + 60
    while stage.instances()[0]["State"]["Name"] != "terminated":
        assert time.monotonic() < end
        time.sleep(0.1)
    with stage.start("resume", stage.run) as one, stage.start("resume", stage.run) as two:
        codes = sorted(process.wait(120) for process in (one, two))
        said = "".join(process.communicate()[1] for process in (one, two))
    assert codes == [0, 6], said
    assert len(stage.instances()) == 2


def test_a_living_agent_prunes_when_it_is_asked(stage: Stage) -> None:
    """What is condemned and still there, as after a kill, goes; nothing else."""
    save = "os.makedirs('checkpoints', exist_ok=True)\npickle.dump(0, open('checkpoints/model-1.pkl', 'wb'))"
    (stage.folder / "train.py").write_text(f"import os, pickle, time\n{save}\ntime.sleep(600)\n")
    (stage.folder / "spec.yaml").write_text("retention: {keep_last: 1}\n")
    stage.launch("--config", "spec.yaml")
    keys = Keys(stage.s3.prefix, stage.run)
    end = time.monotonic() + 120
    while not any(key.startswith(f"{stage.run}/manifests/") for key in stage.objects()):
        assert time.monotonic() < end, stage.objects()
        time.sleep(0.2)
    with stage.s3.store() as store:
        got = store.get(keys.gc)
        assert got is not None, "it entered before it sent"
        gc = decode_gc(got.body)
        assert isinstance(gc, Gc)
        name = snapshot(gc.fence, 900)
        store.put(keys.data(gc.fence, 900, "old", "x"), b"left behind")
        store.put(keys.gc, encode_gc(replace(gc, condemned=gc.condemning([name]), left=gc.left | {name})))
    told = stage.json("prune", stage.run, "--yes")
    assert (told["deleted"], told["objects"], told["bytes"]) == (True, 1, 11)
    assert keys.relative(keys.data(gc.fence, 900, "old", "x")) not in [key.partition("/")[2] for key in stage.objects()]
    assert len(stage.json("checkpoints", stage.run)["checkpoints"]) == 1
    assert stage.document("epoch.json")["epoch"] == gc.fence, "it is the agent that did it"
