"""Markers that are empty, half written, left over or no markers at all, seen by the real agent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TextIO

import pytest

from tests.e2e.agent import Agent
from tests.e2e.committed import names
from tests.e2e.seaweed import S3
from tests.fakes.trainer_disk import body

MARKERS = ("training.pid", "training_exit_code.txt", "training_complete.txt")


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    directory = tmp_path / "checkpoints"
    directory.mkdir()
    return directory


@pytest.fixture
def agent(tmp_path: Path, s3: S3, watched: Path) -> Agent:
    return Agent(tmp_path, s3, checkpoints=watched, settle="300ms", training={"complete_pattern": "^done$"})


def commit_another(agent: Agent, watched: Path, process: subprocess.Popen[bytes]) -> dict[str, object]:
    """A checkpoint more is committed: the agent has looked at the markers many times meanwhile."""
    count = len(list(watched.iterdir())) + 1
    (watched / f"step-{count}.pt").write_bytes(body("a"))
    return agent.wait_for(lambda status: status["commits"] == count, process)


def still_written(file: TextIO) -> bool:
    """As of now: what lay unchanged for a while would be taken for whole, however slow this machine is."""
    file.seek(0)
    file.write("1")
    file.flush()
    return True


def dead_pid() -> int:
    with subprocess.Popen(["true"]) as process:
        return process.pid


def test_empty_ones_say_nothing(agent: Agent, watched: Path) -> None:
    with agent.running() as process:
        for name in MARKERS:
            (agent.workdir / name).touch()
        (agent.workdir / "training.log").touch()
        commit_another(agent, watched, process)
        status = agent.wait_for(lambda status: not status["error"], process)
        assert (status["phase"], status["exit_code"], status["details"]) == ("waiting", None, [])


def test_one_that_is_being_written_is_not_read_as_another(agent: Agent, watched: Path) -> None:
    with agent.running() as process:
        with (agent.workdir / "training_exit_code.txt").open("w") as file:
            still_written(file)
            (watched / "step-1.pt").write_bytes(body("a"))
            status = agent.wait_for(lambda status: still_written(file) and status["commits"] == 1, process)
            assert (status["phase"], status["exit_code"]) == ("waiting", None)
            file.write("37\n")
        status = agent.wait_for(lambda status: status["phase"] == "failed", process)
        assert status["exit_code"] == 137


def test_those_of_the_last_training_are_not_believed(agent: Agent, watched: Path, s3: S3) -> None:
    pid = dead_pid()
    for name, text in zip(MARKERS, (f"{pid}\n", "1\n", "done\n"), strict=True):
        (agent.workdir / name).write_text(text)
    with agent.running() as process:
        status = commit_another(agent, watched, process)
        assert (status["phase"], status["exit_code"], status["trainer_pid"]) == ("waiting", None, None)

        assert agent.exec([sys.executable, "-c", ""]).returncode == 0
        status = agent.wait_for(lambda status: status["phase"] == "finished", process)
        assert status["exit_code"] == 0
    assert (agent.workdir / "training.pid.stale-1").read_text() == f"{pid}\n"
    assert (agent.workdir / "training_exit_code.txt.stale-1").read_text() == "1\n"
    assert names(s3) == ["step-1.pt"]


def test_garbage_in_every_one(agent: Agent, watched: Path, s3: S3) -> None:
    """Bytes, a pipe, a directory, a link to a secret; a torn exit record; a log of one endless line."""
    secret = agent.workdir / "secret"
    secret.write_text("root:salt")
    with agent.running() as process:
        (agent.workdir / "training.pid").write_bytes(b"\xff\xfe4711\0" * 1000)
        os.mkfifo(agent.workdir / "training_exit_code.txt")
        (agent.workdir / "training_complete.txt").mkdir()
        (agent.workdir / "training.log").write_bytes(b"\xff\0" * 500_000)
        (agent.state_dir / "exit-test-run.json").write_bytes(b'{"run": "test-run", "code": 0')
        status = commit_another(agent, watched, process)
        assert (status["phase"], status["exit_code"], status["trainer_pid"]) == ("waiting", None, None)
        agent.wait_for(lambda status: "the pid file holds no pid" in str(status["details"]), process)
        assert "not a regular file" in str(agent.status()["details"])

        (agent.workdir / "training_exit_code.txt").unlink()
        (agent.workdir / "training_exit_code.txt").symlink_to(secret)
        status = commit_another(agent, watched, process)
        assert status["phase"] == "waiting"
        agent.wait_for(lambda status: "is a symbolic link" in str(status["details"]), process)
        assert "salt" not in str(agent.status())

        (agent.workdir / "training_exit_code.txt").unlink()
        (agent.workdir / "training_complete.txt").rmdir()
        assert agent.exec([sys.executable, "-c", "raise SystemExit(3)"]).returncode == 3
        status = agent.wait_for(lambda status: status["phase"] == "failed", process)
        assert status["exit_code"] == 3
    assert "salt" not in agent.log.read_text()
    assert names(s3) == ["step-1.pt", "step-2.pt"]
