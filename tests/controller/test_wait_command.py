"""`runctl wait`: which end it tells, by the real command."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from runctl_agent.contract.phases import Phase
from tests.controller.stage import Stage, ended


@pytest.mark.parametrize(
    ("phase", "exit_code", "code"),
    [
        (Phase.FINISHED, 0, 0),
        (Phase.FAILED, 137, 10),
        (Phase.FAILED, None, 10),
        (Phase.INTERRUPTED, None, 11),
        (Phase.STOPPED, None, 11),
    ],
)
def test_the_end_that_the_agent_posts(stage: Stage, phase: Phase, exit_code: int | None, code: int) -> None:
    stage.posts(stage.state(stage.launch(), phase, exit_code=exit_code))
    verdict = stage.json("wait", stage.run, code=code)
    assert (verdict["outcome"], verdict["exit_code"], verdict["source"]) == (phase.value, exit_code, "tags")


def test_the_exit_code_is_told_to_people(stage: Stage) -> None:
    stage.posts(stage.state(stage.launch(), Phase.FAILED, exit_code=3, step=4, committed_at=1_800_000_000))
    done = stage.command("wait", stage.run, code=10)
    assert f"{stage.run}: failed: the training ended with exit code 3\n" in done.stdout
    assert "step 4 safe" in done.stdout


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_phases_are_told_as_they_change(stage: Stage, options: list[str]) -> None:
    instance = stage.launch()
    first = stage.state(instance, Phase.TRAINING, step=1, committed_at=1_800_000_000)
    stage.posts(first)
    with stage.start("wait", stage.run, "--every", "200ms", *options) as process:
        told = process.stderr if options else process.stdout
        assert told is not None
        assert told.readline().startswith(f"training on {instance}, step 1 safe")
        stage.posts(replace(first, phase=Phase.FINISHING, generation=2), "b")
        assert told.readline().startswith(f"finishing on {instance}")
        stage.posts(replace(first, phase=Phase.FINISHED, generation=3, exit_code=0))
        done = ended(process)
    if options:
        assert json.loads(done.stdout)["outcome"] == "finished"


def test_an_instance_gone_without_a_word(stage: Stage) -> None:
    instance = stage.launch()
    stage.posts(stage.state(instance, Phase.TRAINING, step=5, committed_at=1_800_000_000, pending_bytes=100))
    stage.ec2.terminate_instances(InstanceIds=[instance])
    done = stage.command("wait", stage.run, code=11)
    assert f"{stage.run}: gone: instance {instance} is terminated" in done.stdout
    assert "last known: training, step 5 safe" in done.stdout
    assert "100 B behind" in done.stdout
    assert stage.json("wait", stage.run, code=11)["outcome"] == "gone"
    assert stage.command("status", stage.run).stdout.startswith(f"{stage.run}: gone, last known: training\n")


def test_gone_and_its_agent_told_s3_how_it_ended(stage: Stage) -> None:
    instance = stage.launch()
    training = stage.state(instance, Phase.TRAINING)
    stage.posts(training)
    stage.writes_status(replace(training, phase=Phase.FINISHED, heartbeat=training.heartbeat + 1, exit_code=0))
    stage.ec2.terminate_instances(InstanceIds=[instance])
    assert stage.json("wait", stage.run)["source"] == "status.json"


def test_status_json_of_another_instance_decides_nothing(stage: Stage) -> None:
    instance = stage.launch()
    finished = stage.state(instance, Phase.FINISHED, exit_code=0)
    stage.writes_status(replace(finished, instance="i-0123456789abcdef0"))
    stage.ec2.terminate_instances(InstanceIds=[instance])
    verdict = stage.json("wait", stage.run, code=11)
    assert (verdict["outcome"], verdict["exit_code"], verdict["current"]) == ("gone", None, False)


def test_an_agent_that_can_post_no_tags_is_believed_in_s3(stage: Stage) -> None:
    stage.writes_status(stage.state(stage.launch(), Phase.FAILED, exit_code=2))
    assert stage.json("wait", stage.run, code=10)["exit_code"] == 2


def test_of_a_run_that_ec2_has_forgotten_s3_tells(stage: Stage) -> None:
    stage.writes_status(stage.state(stage.launch(run=f"{stage.run}-x"), Phase.FINISHED, exit_code=0))
    assert stage.json("wait", stage.run)["instance"] is None
    stage.writes_status(stage.state(stage.launch(run=f"{stage.run}-y"), Phase.TRAINING))
    assert stage.json("wait", stage.run, code=11)["outcome"] == "gone"


def test_damaged_status_json_is_said_and_does_not_end_the_waiting(stage: Stage) -> None:
    stage.launch()
    with stage.s3.store() as store:
        store.put(f"{stage.s3.prefix}/{stage.run}/status.json", b"{")
    done = stage.command("wait", stage.run, "--timeout", "300ms", "--every", "100ms", code=7)
    assert done.stdout.count("status.json can't be read") == 1


def test_launch_and_wait_in_one(stage: Stage) -> None:
    with stage.start("launch", "train.py", "--run", stage.run, "--ami", stage.image, "--wait", "--json") as process:
        end = time.monotonic() + 60
        while not (found := stage.instances()):
            assert time.monotonic() < end, "nothing was launched"
            time.sleep(0.05)
        stage.posts(stage.state(found[0]["InstanceId"], Phase.FAILED, exit_code=9))
        done = ended(process, 10)
    assert f"{stage.run}: launched {found[0]['InstanceId']}" in done.stderr
    assert json.loads(done.stdout)["exit_code"] == 9
