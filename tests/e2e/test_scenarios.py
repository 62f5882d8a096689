"""Whole runs, as an operator has them: through the real commands only."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.controller.stage import ended
from tests.e2e.committed import committed
from tests.e2e.gate import Gate, gate
from tests.e2e.runs import Operator, steps
from tests.e2e.tiny_training import body, saved


def wait_for(what: Callable[[], object]) -> None:
    """Poll; the limit is a safety net and never the thing tested."""
    end = time.monotonic() + 120
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def hold_data(held: Gate) -> None:
    held.hold(lambda request: request.is_data)


def in_s3(operator: Operator) -> dict[str, Any]:
    """`status.json`, which the next heartbeat brings up to date; the tags have longer."""
    with operator.s3.store() as store:
        got = store.get(f"{operator.s3.prefix}/{operator.run}/status.json")
    found: dict[str, Any] = json.loads(got.body) if got is not None else {}
    return found


def test_from_launch_to_finished(operator: Operator, tmp_path: Path) -> None:
    instance = operator.train("--steps", "3")
    told = operator.wait()
    assert (told["outcome"], told["exit_code"], told["instance"]["id"]) == ("finished", 0, instance)
    assert operator.names() == steps(1, 2, 3)
    listed = operator.json("checkpoints", operator.run)
    assert [one["checkpoint"] for one in listed["checkpoints"]] == steps(3, 2, 1)
    operator.command("pull", operator.run, str(tmp_path / "pulled"))
    assert saved(tmp_path / "pulled" / "model_step_3.pt") == body(3, 10_000)
    assert operator.disk(instance, "train.py").read_bytes() == (operator.folder / "train.py").read_bytes()


@pytest.mark.parametrize(
    ("ends", "code"), [(("--exit-code", "3"), 3), (("--kill", str(int(signal.SIGKILL))), 137)], ids=["exit 3", "signal 9"]
)
def test_a_training_that_fails(operator: Operator, ends: tuple[str, ...], code: int) -> None:
    operator.train("--steps", "1", *ends)
    told = operator.wait(code=10)
    assert (told["outcome"], told["exit_code"]) == ("failed", code)
    wait_for(lambda: operator.names() == steps(1))  # what it wrote before is safe


def test_stop_during_an_upload_then_start_and_it_resumes(operator: Operator) -> None:
    with gate(operator.s3) as held:
        operator.cloud.instance_env({"AWS_ENDPOINT_URL_S3": held.s3.endpoint})
        hold_data(held)
        instance = operator.train("--steps", "2", "--until", "never", "--size", "9000000")
        wait_for(lambda: held.held)
        with operator.start("stop", operator.run) as stopping:
            operator.until(lambda state: state.get("phase") == "saving")
            assert stopping.poll() is None
            assert operator.instance(instance)["State"]["Name"] == "running", "nothing is stopped before it is durable"
            held.open()
            ended(stopping)
    assert operator.instance(instance)["State"]["Name"] == "stopped"
    assert operator.names() == steps(1, 2)
    assert operator.wait(code=11)["outcome"] == "stopped"
    operator.cloud.instance_env({})

    operator.command("start", operator.run)
    operator.until(lambda state: state.get("phase") == "training" and state["attempt"] == 2)
    operator.disk(instance, "never").touch()
    assert operator.wait()["outcome"] == "finished"
    assert Counter(manifest.epoch for manifest in committed(operator.s3, operator.run))[1] == 2
    assert operator.latest()["checkpoint"] == "model_step_2.pt"
    assert operator.latest()["fence"] >= 2


def test_terminate_with_bytes_pending_waits_for_them(operator: Operator) -> None:
    with gate(operator.s3) as held:
        operator.cloud.instance_env({"AWS_ENDPOINT_URL_S3": held.s3.endpoint})
        hold_data(held)
        instance = operator.train("--steps", "1", "--until", "never")
        wait_for(lambda: held.held)
        error = operator.refused("terminate", operator.run, "--timeout", "3s", code=7)
        assert "--now" in error["mend"]
        assert operator.instance(instance)["State"]["Name"] == "running"
        assert operator.names() == []
        held.open()
        operator.command("terminate", operator.run)
    assert operator.instance(instance)["State"]["Name"] == "terminated"
    assert operator.names() == steps(1)
    assert operator.command("terminate", operator.run).stdout.endswith("is terminated already\n")


def test_an_agent_killed_in_training_loses_nothing(operator: Operator) -> None:
    instance = operator.train("--steps", "4", "--until", "never")
    pid = operator.until(lambda state: state.get("phase") == "training")["trainer_pid"]
    operator.cloud.kill_agent(instance)
    assert os.path.exists(f"/proc/{pid}"), "training goes on"
    wait_for(lambda: operator.names() == steps(1, 2, 3, 4))
    operator.disk(instance, "never").touch()
    assert operator.wait()["outcome"] == "finished"
    assert operator.names() == steps(1, 2, 3, 4), "each once"
    wait_for(lambda: in_s3(operator).get("epoch") == 1)  # it ended before the agent that came back had asked for its epoch
    assert (in_s3(operator)["attempt"], in_s3(operator)["phase"]) == (1, "finished")


def test_two_runs_at_once_keep_apart(operator: Operator) -> None:
    second = operator.run + "-b"
    for run, count in ((operator.run, "2"), (second, "3")):
        operator.train("--steps", count, run=run)
    for run, expected in ((operator.run, steps(1, 2)), (second, steps(1, 2, 3))):
        assert operator.wait(run)["outcome"] == "finished"
        assert operator.names(run) == expected
    listed = operator.json("list")["runs"]
    assert {one["run"] for one in listed} >= {operator.run, second}
    assert "2 runs" in operator.refused("status", operator.run[:-1], code=2)["why"] or operator.run in str(listed)


def test_a_run_is_launched_once_and_resumed_once_it_is_lost(operator: Operator) -> None:
    first = operator.train("--steps", "2", "--until", "never")
    wait_for(lambda: operator.names() == steps(1, 2))
    assert operator.refused("launch", "train.py", "--run", operator.run, "--ami", operator.image, code=6)["mend"]
    assert operator.refused("resume", operator.run, code=6)["mend"], "an instance of it lives"
    assert len(operator.instances()) == 1

    wait_for(lambda: in_s3(operator).get("step") == 2)
    operator.cloud.lose(first)
    lost = operator.wait(code=11)
    assert (lost["outcome"], lost["exit_code"]) == ("gone", None)
    (row,) = [line for line in operator.command("list").stdout.splitlines() if line.startswith(operator.run)]
    assert "gone (training)" in row
    assert operator.json("status", operator.run)["state"]["step"] == 2, "what is safe is still known"

    second = operator.json("resume", operator.run)["instance"]
    assert second != first
    operator.until(lambda state: state.get("phase") == "training" and state["instance"] == second)
    assert operator.status()["state"]["attempt"] == 2
    assert "to resume from: model_step_2.pt, step 2" in operator.cloud.console(second)
    assert operator.disk(second, "checkpoints/model_step_2.pt").exists(), "restored before it began"
    operator.disk(second, "never").touch()
    assert operator.wait()["outcome"] == "finished"
    assert operator.refused("resume", operator.run, code=6)["why"], "it is finished"


def test_a_flush_says_when_all_is_durable(operator: Operator) -> None:
    instance = operator.train("--steps", "2", "--until", "never")
    operator.until(lambda state: state.get("phase") == "training")
    wait_for(lambda: operator.disk(instance, "checkpoints/model_step_2.pt").exists())
    operator.command("flush", operator.run)
    assert operator.names() == steps(1, 2)
    assert operator.status()["state"]["phase"] == "training", "it goes on"


def test_a_spec_too_large_for_user_data_is_found_in_s3(operator: Operator) -> None:
    operator.train("--steps", "1", options=tuple(f"--env=LONG_{n}={'x' * 4000}" for n in range(6)))
    assert operator.wait()["outcome"] == "finished"
    assert operator.names() == steps(1)


def test_a_reboot_in_training_is_another_attempt_that_resumes(operator: Operator) -> None:
    instance = operator.train("--steps", "2", "--until", "never")
    wait_for(lambda: operator.names() == steps(1, 2))
    operator.cloud.reboot(instance)
    told = operator.until(lambda state: state.get("phase") == "training" and state["attempt"] == 2)
    assert (told["instance"], told["epoch"] >= 2) == (instance, True)
    assert "to resume from: model_step_2.pt, step 2" in operator.cloud.console(instance)
    operator.disk(instance, "never").touch()
    assert operator.wait()["outcome"] == "finished"


def test_what_has_ended_is_not_begun_again_by_a_reboot(operator: Operator) -> None:
    instance = operator.train("--steps", "1", "--exit-code", "3")
    assert operator.wait(code=10)["exit_code"] == 3
    wait_for(lambda: operator.names() == steps(1))
    before = operator.disk(instance, "training.log").read_text()
    operator.cloud.reboot(instance)
    told = operator.until(lambda state: state.get("phase") == "failed" and state["epoch"] >= 2)
    assert (told["attempt"], told["exit_code"]) == (1, 3)
    assert operator.wait(code=10)["exit_code"] == 3
    assert operator.disk(instance, "training.log").read_text() == before
    assert not operator.disk(instance, "training_exit_code.txt.stale-1").exists()


def test_terminate_right_after_a_failure_waits_for_what_still_settles(operator: Operator) -> None:
    """A file that can't prove itself whole needs its quiet time; the training has failed long before."""
    operator.script("open('checkpoints/model_step_1.bin', 'wb').write(b'weights' * 100)\nraise SystemExit(3)\n")
    (operator.folder / "run.yaml").write_text("settle: 4s\ncheckpoints: [{path: checkpoints}]\n")
    operator.launch("--config", "run.yaml")
    operator.wait(code=10)
    operator.command("terminate", operator.run)
    assert operator.names() == ["model_step_1.bin"]
