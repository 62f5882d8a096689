"""`runctl resume`: the next attempt of a run, once no instance of it lives."""

from __future__ import annotations

import pytest

from runctl_agent.contract.phases import Phase
from tests.controller.stage import Stage


def lost(stage: Stage, *options: str) -> str:
    instance = stage.launch(*options)
    stage.posts(stage.state(instance, Phase.TRAINING))
    stage.ec2.terminate_instances(InstanceIds=[instance])
    return instance


def test_a_new_instance_alike(stage: Stage) -> None:
    first = lost(stage, "--instance-type", "g5.2xlarge", "--on-finish", "stop", "--disk", "77")
    before = stage.document("run.json"), stage.document("launch.json")
    told = stage.json("resume", stage.run)
    assert told["instance"] != first
    assert stage.instance(told["instance"])["InstanceType"] == "g5.2xlarge"
    assert stage.tags(told["instance"]).keys() == stage.tags(first).keys()
    assert stage.document("run.json") == before[0]
    assert stage.document("launch.json")["token"] != before[1]["token"]
    assert stage.json("status", stage.run)["instance"]["id"] == told["instance"]


def test_options_change_the_launch(stage: Stage) -> None:
    lost(stage)
    told = stage.json("resume", stage.run, "--instance-type", "g6.xlarge", "--spot")
    assert stage.instance(told["instance"])["InstanceLifecycle"] == "spot"
    assert stage.document("launch.json")["instance_type"] == "g6.xlarge"


def test_by_the_id_of_an_earlier_instance(stage: Stage) -> None:
    first = lost(stage)
    second = stage.json("resume", first)["instance"]
    error = stage.refused("resume", first, code=6)
    assert second in error["why"]


def test_a_dry_run_changes_nothing(stage: Stage) -> None:
    lost(stage)
    before = stage.document("launch.json")
    assert stage.json("resume", stage.run, "--dry-run")["request"]["ImageId"] == stage.image
    assert stage.document("launch.json") == before
    assert len(stage.instances()) == 1


@pytest.mark.parametrize(("power", "mend"), [("running", "runctl wait"), ("stopped", "runctl start")])
def test_while_an_instance_lives(stage: Stage, power: str, mend: str) -> None:
    instance = stage.launch()
    if power == "stopped":
        stage.ec2.stop_instances(InstanceIds=[instance])
    error = stage.refused("resume", stage.run, code=6)
    assert f"instance {instance} of it is {power}" in error["why"]
    assert mend in error["mend"]


def test_what_is_finished(stage: Stage) -> None:
    instance = stage.launch()
    stage.posts(stage.state(instance, Phase.FINISHED, exit_code=0))
    stage.ec2.terminate_instances(InstanceIds=[instance])
    assert "it is finished" in stage.refused("resume", stage.run, code=6)["why"]


def test_what_was_not_launched_from_here(stage: Stage) -> None:
    stage.writes_status(stage.state(stage.launch(run=f"{stage.run}-x"), Phase.TRAINING))
    assert "has no run.json" in stage.refused("resume", stage.run, code=5)["why"]


def test_in_another_region(stage: Stage) -> None:
    lost(stage)
    stage_env = {"AWS_REGION": "eu-west-1"}
    error = stage.refused("resume", stage.run, code=6, env=stage_env)
    assert "another command launches" in error["why"], "its instance can't be seen from there, and it is young"


def test_an_image_that_is_gone(stage: Stage) -> None:
    lost(stage)
    before = stage.document("launch.json")
    stage.refused("resume", stage.run, "--ami", "ami-0123456789abcdef0", code=5)
    assert stage.document("launch.json") == before
