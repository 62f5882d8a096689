"""Everything that can be wrong with what a user gives or has, each through the real command."""

from __future__ import annotations

import pytest

from runctl_agent.contract.phases import Phase
from runctl_agent.contract.tags import HEARTBEAT, PHASE, slot_key
from tests.controller.stage import Stage

UNKNOWN = "i-0123456789abcdef0"
COMMANDS = ("status", "wait", "checkpoints", "pull", "flush", "stop", "start", "terminate", "resume")
NO_KEYS = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_instance(stage: Stage, command: str) -> None:
    error = stage.refused(command, UNKNOWN, code=5)
    assert UNKNOWN in error["what"]
    assert "runctl list" in error["mend"]


def test_an_unknown_run_with_near_misses(stage: Stage) -> None:
    stage.launch()
    for command in ("status", "wait", "pull", "terminate"):
        assert stage.run in stage.refused(command, f"x{stage.run}", code=5)["mend"]


@pytest.mark.parametrize("name", ["", "Foo", "../etc", "a b", "-x-", "x" * 64, "i-nonsense!", "ru\x1b[2Jn"])
def test_what_is_no_name_of_a_run(stage: Stage, name: str) -> None:
    done = stage.command("status", "--json", "--", name, code=2)
    assert "is no run" in done.stderr
    assert "\x1b" not in done.stderr + done.stdout


def test_an_ambiguous_prefix(stage: Stage) -> None:
    stage.launch(run=f"{stage.run}-a")
    stage.launch(run=f"{stage.run}-b")
    error = stage.refused("stop", stage.run, code=2)
    assert f"{stage.run}-a, {stage.run}-b" in error["why"]
    assert stage.json("status", f"{stage.run}-a")["run"] == f"{stage.run}-a"


def test_a_name_that_begins_another_is_itself(stage: Stage) -> None:
    stage.launch()
    stage.launch(run=f"{stage.run}-2")
    assert stage.json("status", stage.run)["run"] == stage.run


def test_a_run_of_another_destination(stage: Stage) -> None:
    stage.launch()
    other = f"{stage.s3.destination}/elsewhere"
    error = stage.refused("terminate", stage.run, "--destination", other, code=5)
    assert error["mend"] == f"--destination {stage.s3.destination}"
    (instance,) = stage.instances()
    assert instance["State"]["Name"] == "running"
    assert stage.json("status", stage.run, env={"RUNCTL_DESTINATION": None})["run"] == stage.run


@pytest.mark.parametrize("command", [("list",), ("status", "some-run"), ("launch", "train.py"), ("stop", "some-run")])
def test_no_credentials(stage: Stage, command: tuple[str, ...]) -> None:
    error = stage.refused(*command, code=4, env=NO_KEYS)
    assert "credentials" in error["why"].lower()
    assert "AWS_ACCESS_KEY_ID" in error["mend"]


@pytest.mark.parametrize("command", [("list",), ("launch", "train.py")])
def test_no_bucket(stage: Stage, command: tuple[str, ...]) -> None:
    error = stage.refused(*command, "--destination", "s3://no-such-bucket-here/x", code=4)
    assert "there is no bucket no-such-bucket-here" in str(error)


def test_a_destination_that_is_none(stage: Stage) -> None:
    assert "s3://bucket/prefix" in stage.refused("list", "--destination", "/tmp/here", code=3)["mend"]


def test_no_region(stage: Stage) -> None:
    error = stage.refused("list", code=3, env={"AWS_REGION": None})
    assert "AWS_REGION" in error["mend"]


def test_a_region_that_there_is_not(stage: Stage) -> None:
    error = stage.refused(
        "list", code=3, env={"AWS_REGION": "mars-north-1", "AWS_ENDPOINT_URL_EC2": None, "RUNCTL_DESTINATION": ""}
    )
    assert "mars-north-1 is no region that this program knows" in error["why"]


def test_another_region_has_not_the_image(stage: Stage) -> None:
    error = stage.refused("launch", "train.py", "--ami", stage.image, code=5, env={"AWS_REGION": "eu-west-1"})
    assert "InvalidAMIID" in error["why"]
    assert "AWS_REGION" in error["mend"]


@pytest.mark.parametrize("key", ["stranger", "lister"])
def test_denied_by_s3(stage: Stage, key: str) -> None:
    error = stage.refused("launch", "train.py", "--ami", stage.image, code=4, env={"AWS_ACCESS_KEY_ID": key})
    assert "allow s3:" in error["mend"]
    assert stage.instances() == []


def test_no_answer(stage: Stage) -> None:
    error = stage.refused("list", code=7, env={"AWS_ENDPOINT_URL_EC2": "http://127.0.0.1:1"})
    assert "127.0.0.1:1" in error["mend"]


def test_a_missing_image(stage: Stage) -> None:
    assert "InvalidAMIID" in stage.refused("launch", "train.py", "--ami", "ami-0123456789abcdef0", code=5)["why"]
    assert stage.objects() == []


def test_an_agent_that_never_reported(stage: Stage) -> None:
    instance = stage.launch()
    shown = stage.json("status", stage.run)
    assert (shown["state"], shown["current"], shown["instance"]["id"]) == (None, False, instance)
    assert f"{stage.run}: not reported\n" in stage.command("status", stage.run).stdout
    assert "nothing reported yet" in stage.refused("wait", stage.run, "--timeout", "300ms", "--every", "100ms", code=7)["why"]


def test_torn_tags(stage: Stage) -> None:
    instance = stage.launch()
    stage.posts(stage.state(instance, Phase.FINISHED, error="e" * 400))
    tags = stage.tags(instance)
    stage.tag(instance, {slot_key("a", 0): tags[slot_key("a", 0)][:-1] + "!"})
    shown = stage.json("status", stage.run)
    assert shown["state"] is None
    assert "slot a" in shown["reason"]
    text = stage.command("status", stage.run).stdout
    assert f"{stage.run}: not reported" in text
    assert "its tags say, and prove nothing:" in text
    stage.refused("wait", stage.run, "--timeout", "300ms", "--every", "100ms", code=7)


def test_plain_tags_of_anybody_command_no_terminal(stage: Stage) -> None:
    instance = stage.launch()
    stage.tag(instance, {PHASE: "finished\x9b2J\u202eroot: done", HEARTBEAT: "now"})  # XML has no ESC, but the other CSI
    done = stage.command("status", stage.run)
    assert "\x9b" not in done.stdout
    assert "finished\\x9b2J\\u202eroot" in done.stdout


def test_a_state_of_another_life_is_shown_as_such(stage: Stage) -> None:
    instance = stage.launch()
    state = stage.state(instance, Phase.FINISHED, boot_time=1_700_000_000, heartbeat=1_700_000_100)
    stage.posts(state)
    shown = stage.json("status", stage.run)
    assert (shown["current"], shown["state"]["phase"]) == (False, "finished")
    assert "of another life" in stage.command("status", stage.run).stdout
    stage.refused("wait", stage.run, "--timeout", "300ms", "--every", "100ms", code=7)


def test_an_instance_that_is_no_run(stage: Stage) -> None:
    (made,) = stage.ec2.run_instances(ImageId=stage.image, MinCount=1, MaxCount=1)["Instances"]
    assert "no runctl:run tag" in stage.refused("stop", made["InstanceId"], code=5)["why"]


def test_a_time_that_is_none(stage: Stage) -> None:
    assert "--timeout 'soon' is no time" in stage.refused("wait", "some-run", "--timeout", "soon", code=2)["what"]
