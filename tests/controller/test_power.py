"""`runctl stop`, `start`, `terminate` and `flush`: the state first, then what is not durable, then the power."""

from __future__ import annotations

import os
import pty
import subprocess
from dataclasses import replace

import pytest

from runctl_agent.contract.phases import Phase
from runctl_agent.contract.tags import Verb
from tests.controller.stage import RUNCTL, Stage, acknowledged, ended, read_terminal

IN_TRAINING = {"step": 7, "committed_at": 1_800_000_000, "pending_checkpoints": 2, "pending_bytes": 5000}


def power(stage: Stage, instance: str) -> str:
    return str(stage.instance(instance)["State"]["Name"])


def test_stop_waits_until_everything_is_durable(stage: Stage) -> None:
    instance = stage.launch()
    training = stage.state(instance, Phase.TRAINING, **IN_TRAINING)
    stage.posts(training)
    with stage.start("stop", stage.run, "--json") as process:
        want = stage.wanted(instance)
        assert (want.verb, want.launch_time) == (Verb.STOP, training.boot_time - 1)
        saving = acknowledged(training, want, Phase.SAVING)
        stage.posts(saving, "b")
        stopped = acknowledged(saving, want, Phase.STOPPED)
        stage.posts(stopped)
        assert process.stderr is not None
        while not (line := process.stderr.readline()).startswith(f"stopped on {instance}, 4.9 KiB behind"):
            assert line, "it ended"
        assert power(stage, instance) == "running"
        stage.posts(replace(stopped, pending_checkpoints=0, pending_bytes=0, generation=9), "b")
        done = ended(process)
    assert power(stage, instance) == "stopped"
    assert '"state": "stopped"' in done.stdout


def test_stop_leaves_a_silent_agent_running(stage: Stage) -> None:
    instance = stage.launch()
    stage.posts(stage.state(instance, Phase.TRAINING, **IN_TRAINING))
    error = stage.refused("stop", stage.run, "--timeout", "1s", code=7)
    assert "did not acknowledge the stop" in error["what"]
    assert "4.9 KiB behind" in error["why"]
    assert f"{instance} is left running" in error["mend"]
    assert "--now" in error["mend"]
    assert power(stage, instance) == "running"


def test_stop_says_what_is_not_durable_in_time(stage: Stage) -> None:
    instance = stage.launch()
    training = stage.state(instance, Phase.TRAINING, **IN_TRAINING)
    stage.posts(training)
    with stage.start("stop", stage.run, "--timeout", "6s") as process:
        stage.posts(acknowledged(training, stage.wanted(instance), Phase.SAVING), "b")
        done = ended(process, 7)
    assert f"{stage.run} is not durable yet: after 6 s: saving on {instance}, step 7 safe" in done.stderr
    assert power(stage, instance) == "running"


def test_stop_now_names_what_is_lost(stage: Stage) -> None:
    instance = stage.launch()
    stage.posts(stage.state(instance, Phase.TRAINING, **IN_TRAINING))
    done = stage.command("stop", stage.run, "--now")
    assert "2 checkpoints not sent" in done.stderr
    assert done.stdout.startswith(f"{stage.run}: {instance} is stopped\n")
    assert power(stage, instance) == "stopped"


def test_at_a_terminal_what_would_be_lost_is_asked_first(stage: Stage) -> None:
    instance = stage.launch()
    stage.posts(stage.state(instance, Phase.TRAINING, **IN_TRAINING))
    for command in ("stop", "terminate"):
        screen, code = typed(stage, b"n\n", command, stage.run, "--now")
        assert "2 checkpoints not sent, and what was trained since step 7" in screen
        assert f"{command} {stage.run} at once? [y/N]" in screen
        assert (code, "nothing was done" in screen, power(stage, instance)) == (0, True, "running")
    screen, code = typed(stage, b"", "stop", stage.run, "--now", "--yes")
    assert ("2 checkpoints not sent" in screen, "[y/N]" in screen) == (True, False)
    assert (code, power(stage, instance)) == (0, "stopped")
    screen, code = typed(stage, b"y\n", "terminate", stage.run, "--now")
    assert (code, power(stage, instance)) == (0, "terminated"), screen


def typed(stage: Stage, answer: bytes, *arguments: str) -> tuple[str, int]:
    """What a terminal showed, and the exit code."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb+", buffering=0) as terminal:
        terminal.write(answer)
        process = subprocess.Popen([RUNCTL, *arguments], env=stage.env, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        shown = b"".join(iter(lambda: read_terminal(terminal), b"")).decode()
        return shown, process.wait(60)


def test_what_is_durable_is_stopped_at_once(stage: Stage) -> None:
    instance = stage.launch()
    stage.posts(stage.state(instance, Phase.FINISHED, exit_code=0))
    done = stage.command("stop", stage.run)
    assert "asked" not in done.stderr
    assert power(stage, instance) == "stopped"


def test_a_stopped_instance(stage: Stage) -> None:
    instance = stage.launch()
    stage.posts(stage.state(instance, Phase.STOPPED))
    stage.command("stop", stage.run)
    assert f"runctl start {stage.run}" in stage.refused("stop", stage.run, code=6)["mend"]
    assert "is stopped" in stage.refused("flush", stage.run, code=6)["why"]
    assert stage.json("wait", stage.run, code=11)["outcome"] == "stopped"
    assert stage.json("start", stage.run)["instance"]["state"] in ("pending", "running")
    assert f"{instance} is running" in stage.refused("start", stage.run, code=6)["why"]


def test_a_terminated_instance(stage: Stage) -> None:
    instance = stage.launch()
    stage.ec2.terminate_instances(InstanceIds=[instance])
    for command in ("stop", "start", "flush"):
        error = stage.refused(command, instance, code=6)
        assert f"{instance} is terminated" in error["why"]
        assert f"runctl resume {stage.run}" in error["mend"]
    nothing = f"{stage.run}: nothing is left to terminate: {instance} is terminated already\n"
    assert stage.command("terminate", stage.run).stdout == nothing
    assert stage.json("terminate", stage.run)["instance"]["state"] == "terminated"


def test_of_a_run_that_has_finished_there_is_no_next_attempt(stage: Stage) -> None:
    instance = stage.launch()
    stage.posts(stage.state(instance, Phase.FINISHED, exit_code=0))
    stage.ec2.terminate_instances(InstanceIds=[instance])
    mend = stage.refused("start", stage.run, code=6)["mend"]
    assert mend == f"it has finished, and everything is durable: runctl pull {stage.run}"


def test_a_spot_instance_is_not_stopped(stage: Stage) -> None:
    instance = stage.launch("--spot")
    error = stage.refused("stop", stage.run, "--now", code=6)
    assert "one-time spot" in error["why"]
    assert "runctl terminate" in error["mend"]
    assert power(stage, instance) == "running"


def test_terminate_waits_too(stage: Stage) -> None:
    instance = stage.launch()
    training = stage.state(instance, Phase.TRAINING, **IN_TRAINING)
    stage.posts(training)
    stage.refused("terminate", stage.run, "--timeout", "1s", code=7)
    assert power(stage, instance) == "running"
    stage.tag(instance, {"runctl:want": ""})
    with stage.start("terminate", stage.run) as process:
        stopped = acknowledged(training, stage.wanted(instance), Phase.STOPPED)
        done_with = replace(stopped, pending_checkpoints=0, pending_bytes=0, checkpoint="model_step_9.pt", step=9, commits=2)
        stage.posts(done_with, "b")
        done = ended(process)
    saved = "  saved: model_step_9.pt (step 9), 2 checkpoints meanwhile; everything is durable\n"
    assert done.stdout == f"{stage.run}: {instance} is terminated\n{saved}"
    assert power(stage, instance) == "terminated"


def test_a_stopped_disk_with_work_on_it_is_not_thrown_away(stage: Stage) -> None:
    instance = stage.launch()
    stage.posts(stage.state(instance, Phase.TRAINING, **IN_TRAINING))
    stage.ec2.stop_instances(InstanceIds=[instance])
    error = stage.refused("terminate", stage.run, code=6)
    assert "2 checkpoints not sent" in error["why"]
    assert "--now" in error["mend"]
    assert power(stage, instance) == "stopped"
    stage.command("terminate", stage.run, "--now")
    assert power(stage, instance) == "terminated"


def test_a_stopped_disk_of_which_all_is_durable(stage: Stage) -> None:
    instance = stage.launch()
    stage.posts(stage.state(instance, Phase.STOPPED))
    stage.ec2.stop_instances(InstanceIds=[instance])
    stage.command("terminate", stage.run)
    assert power(stage, instance) == "terminated"


def test_flush_waits_for_the_acknowledgement(stage: Stage) -> None:
    instance = stage.launch()
    training = stage.state(instance, Phase.TRAINING, **IN_TRAINING)
    stage.posts(training)
    with stage.start("flush", stage.run) as process:
        want = stage.wanted(instance)
        assert want.verb is Verb.FLUSH
        stage.posts(acknowledged(training, want, Phase.TRAINING), "b")
        done = ended(process)
    assert done.stdout == f"{stage.run}: everything finished is durable\n"
    assert "did not acknowledge the flush" in stage.refused("flush", stage.run, "--timeout", "1s", code=7)["what"]


def test_two_that_ask_for_different_things(stage: Stage) -> None:
    instance = stage.launch()
    stage.posts(stage.state(instance, Phase.TRAINING))
    with stage.start("flush", stage.run) as process:
        want = stage.wanted(instance)
        assert process.stderr is not None
        assert "asked" in process.stderr.readline()
        assert "training on" in process.stderr.readline(), "it has seen its own question"
        stage.tag(instance, {"runctl:want": f'{{"verb":"stop","nonce":"other","launch_time":{want.launch_time}}}'})
        done = ended(process, 6)
    assert "another command has asked" in done.stderr


@pytest.mark.parametrize("command", ["stop", "start", "flush"])
def test_a_run_without_an_instance(stage: Stage, command: str) -> None:
    stage.writes_status(stage.state(stage.launch(run=f"{stage.run}-other"), Phase.TRAINING))
    error = stage.refused(command, stage.run, code=6)
    assert "no instance any more" in error["why"]


def test_of_a_run_without_an_instance_nothing_is_left_to_terminate(stage: Stage) -> None:
    stage.writes_status(stage.state(stage.launch(run=f"{stage.run}-other"), Phase.TRAINING))
    done = stage.command("terminate", stage.run)
    assert done.stdout == f"{stage.run}: nothing is left to terminate: EC2 has no instance of it any more\n"
    assert stage.json("terminate", stage.run)["instance"] is None
