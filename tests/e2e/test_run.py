"""`run` beside a training that somebody else starts: what it wrote is committed, and how it ended is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from runctl_agent.contract.keys import Keys
from tests.e2e.agent import Agent
from tests.e2e.committed import committed, names
from tests.e2e.seaweed import S3
from tests.e2e.tiny_training import body, saved, training


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


@pytest.fixture
def agent(tmp_path: Path, s3: S3, watched: Path) -> Agent:
    return Agent(tmp_path, s3, checkpoints=watched, settle="300ms")


def in_s3(s3: S3, key: str) -> dict[str, Any]:
    with s3.store() as store:
        got = store.get(key)
    return json.loads(got.body) if got is not None else {}


def test_a_training_that_ends_well(agent: Agent, s3: S3, watched: Path) -> None:
    keys = Keys(s3.prefix, agent.run)
    with agent.running() as process:
        agent.wait_for(lambda status: status["phase"] == "waiting", process)
        done = agent.exec(training(watched, steps=5, keep=2, pace=0.1))
        assert done.returncode == 0, done.stderr
        status = agent.wait_for(lambda status: status["phase"] == "finished", process)
        assert (status["exit_code"], status["pending_checkpoints"], status["pending_bytes"]) == (0, 0, 0)
        assert (status["conditions"], status["error"]) == ([], "")
        agent.wait_for(lambda _: in_s3(s3, keys.status).get("phase") == "finished", process)

    standing = ["model_step_4.pt", "model_step_5.pt"]
    assert sorted(os.listdir(watched)) == standing, "nothing is written there, and nothing taken away"
    manifests = committed(s3)
    assert {*standing} <= {manifest.checkpoint for manifest in manifests}
    assert all(manifest.complete and manifest.step == int(manifest.checkpoint[11:-3]) for manifest in manifests)
    latest = in_s3(s3, keys.latest)
    assert latest["checkpoint"] == manifests[0].checkpoint == "model_step_5.pt"
    remote, local = in_s3(s3, keys.status), agent.status()
    told = ("phase", "exit_code", "checkpoint", "step", "commits", "attempt", "epoch", "pending_bytes", "instance")
    assert {name: remote[name] for name in told} == {name: local[name] for name in told}
    assert [os.listdir(staging) for staging in agent.state_dir.rglob("staging")] == [[]]


@pytest.mark.parametrize(("ends", "code"), [({"exit_code": 3}, 3), ({"kill": int(signal.SIGKILL)}, 137)], ids=["exit", "signal"])
def test_a_training_that_fails(agent: Agent, s3: S3, watched: Path, ends: dict[str, int], code: int) -> None:
    with agent.running() as process:
        assert agent.exec(training(watched, steps=1, **ends)).returncode == code
        status = agent.wait_for(lambda status: status["phase"] == "failed", process)
        assert status["exit_code"] == code
        agent.wait_for(lambda status: status["commits"] == 1, process)
    assert names(s3) == ["model_step_1.pt"]


def test_a_command_that_is_not_there(agent: Agent) -> None:
    with agent.running() as process:
        assert agent.exec(["there-is-no-such-command"]).returncode == 127
        status = agent.wait_for(lambda status: status["phase"] == "failed", process)
        assert (status["exit_code"], status["trainer_pid"]) == (127, None)


def test_one_that_ended_before_the_agent_came(agent: Agent, s3: S3, watched: Path) -> None:
    assert agent.exec(training(watched, steps=2, exit_code=3)).returncode == 3
    with agent.running() as process:
        status = agent.wait_for(lambda status: status["phase"] == "failed" and status["commits"] == 2, process)
        assert status["exit_code"] == 3
    assert names(s3) == ["model_step_1.pt", "model_step_2.pt"]


def test_what_finished_while_no_agent_ran(agent: Agent, s3: S3, watched: Path, tmp_path: Path) -> None:
    """The training goes on without the agent, and ends; the next agent commits the rest once, and knows the end."""
    end = tmp_path / "end"
    with subprocess.Popen(agent.argv("exec", "--", *training(watched, steps=2, until=end)), env=agent.env) as trainer:
        with agent.running() as process:
            agent.wait_for(lambda status: status["commits"] == 2 and status["phase"] == "training", process)
        assert trainer.poll() is None
        (watched / "model_step_3.pt").write_bytes((watched / "model_step_2.pt").read_bytes())
        end.touch()
        assert trainer.wait(60) == 0
    with agent.running() as process:
        status = agent.wait_for(lambda status: status["phase"] == "finished" and status["commits"] == 3, process)
        assert (status["attempt"], status["exit_code"], status["epoch"]) == (1, 0, 1)
    assert names(s3) == [f"model_step_{step}.pt" for step in (1, 2, 3)]


def test_a_second_training_is_another_attempt(agent: Agent, s3: S3, watched: Path) -> None:
    with agent.running() as process:
        assert agent.exec(training(watched, steps=1, exit_code=1)).returncode == 1
        agent.wait_for(lambda status: status["phase"] == "failed", process)
        assert agent.exec(training(watched, steps=3)).returncode == 0
        status = agent.wait_for(lambda status: status["phase"] == "finished", process)
        assert (status["attempt"], status["exit_code"]) == (2, 0)
    assert {"model_step_2.pt", "model_step_3.pt"} <= set(names(s3))


def test_what_it_brings_back_is_what_was_written(agent: Agent, watched: Path, tmp_path: Path) -> None:
    with agent.running() as process:
        assert agent.exec(training(watched, steps=2, size=9_000_000)).returncode == 0
        agent.wait_for(lambda status: status["phase"] == "finished", process)
    agent.command("restore", "--to", str(tmp_path / "rescued"))
    assert saved(tmp_path / "rescued" / "model_step_2.pt") == body(2, 9_000_000)
