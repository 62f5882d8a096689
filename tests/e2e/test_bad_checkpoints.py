"""Empty, growing and truncated checkpoints, seen by the real agent."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.agent import Agent
from tests.e2e.bounded import condition
from tests.e2e.committed import committed, everything, has_commits, names
from tests.e2e.seaweed import S3
from tests.fakes.trainer_disk import body


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    directory = tmp_path / "checkpoints"
    directory.mkdir()
    return directory


@pytest.fixture
def agent(tmp_path: Path, s3: S3, watched: Path) -> Agent:
    return Agent(tmp_path, s3, checkpoints=watched, settle="300ms")


def test_what_is_empty_is_none(agent: Agent, s3: S3, watched: Path) -> None:
    (watched / "empty.pt").touch()
    (watched / "checkpoint-5").mkdir()
    (watched / "global_step5").mkdir()
    with agent.running() as process:
        (watched / "later.pt").touch()
        (watched / "good.pt").write_bytes(body("good.pt"))
        status = agent.wait_for(lambda status: status["commits"] == 1, process)
        assert status["pending_checkpoints"] == 0
        agent.command("flush")
    assert names(s3) == ["good.pt"]


def test_what_grows_is_sent_once_it_is_whole(agent: Agent, s3: S3, watched: Path) -> None:
    whole = body("last.pt", 300_000)
    with agent.running() as process:
        with (watched / "last.pt").open("wb") as file:
            for start in range(0, len(whole), 100_000):
                file.write(whole[start : start + 100_000])
                file.flush()
                # Longer than the settle time: only that it is open for writing tells.
                (watched / f"beat-{start}.pt").write_bytes(body("beat"))
                agent.wait_for(partial(has_commits, start // 100_000 + 1), process)
                assert "last.pt" not in names(s3)
        agent.wait_for(lambda status: status["checkpoint"] == "last.pt", process)
    (last,) = [manifest for manifest in committed(s3) if manifest.checkpoint == "last.pt"]
    assert (last.complete, last.size) == (True, len(whole))
    assert len([key for key in everything(s3) if "/data/" in key and "/last.pt/" in key]) == 1


def test_what_is_truncated_waits_for_the_end_and_is_passed_by(agent: Agent, s3: S3, watched: Path, tmp_path: Path) -> None:
    good, half = body("step-1.pt"), body("step-2.pt")[:500]
    with agent.running() as process:
        (watched / "step-2.pt").write_bytes(half)
        (watched / "step-1.pt").write_bytes(good)
        agent.wait_for(lambda status: status["commits"] == 1, process)
        assert names(s3) == ["step-1.pt"]

        assert agent.exec([sys.executable, "-c", ""]).returncode == 0
        status = agent.wait_for(lambda status: status["phase"] == "finished", process)
        assert status["commits"] == 2
        assert "step-2.pt" in condition(status, "Incomplete")
        assert status["checkpoint"] == "step-1.pt"
    assert [(one.checkpoint, one.complete) for one in committed(s3)] == [("step-2.pt", False), ("step-1.pt", True)]

    agent.command("restore", "--to", str(tmp_path / "back"))
    assert {path.name: path.read_bytes() for path in (tmp_path / "back").iterdir()} == {"step-1.pt": good}
    refused = agent.command("restore", "--to", str(tmp_path / "back"), "--checkpoint", "step-2.pt", check=False)
    assert refused.returncode == 5
    assert "never complete" in refused.stderr
