"""`flush`: everything finished is durable, or why not; alone, and beside the daemon."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.agent import Agent
from tests.e2e.committed import committed, names
from tests.e2e.gate import gate
from tests.e2e.seaweed import S3
from tests.e2e.tiny_training import save

COUNT = 6


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    directory = tmp_path / "checkpoints"
    directory.mkdir()
    for step in range(1, COUNT + 1):
        save(directory / f"model_step_{step}.pt", step, 1000)
    return directory


def test_alone(tmp_path: Path, s3: S3, watched: Path) -> None:
    agent = Agent(tmp_path, s3, checkpoints=watched, settle="300ms")
    done = agent.command("flush")
    assert done.stdout == "everything finished is durable: 6 checkpoints committed, newest model_step_6.pt (step 6)\n"
    assert names(s3) == sorted(path.name for path in watched.iterdir())

    (watched / "unknown.bin").write_bytes(b"a body that proves nothing")
    flushed = json.loads(agent.command("flush", "--json").stdout)
    assert (flushed["commits"], flushed["pending_checkpoints"], flushed["problems"]) == (COUNT + 1, 0, [])
    assert flushed["newest"]["checkpoint"] == "unknown.bin"

    agent.command("flush")
    assert len(committed(s3)) == COUNT + 1, "nothing is committed twice"


def test_nothing_to_do(tmp_path: Path, s3: S3) -> None:
    (tmp_path / "checkpoints").mkdir()
    agent = Agent(tmp_path, s3, checkpoints=tmp_path / "checkpoints", settle="300ms")
    assert agent.command("flush", "--wait").stdout == "everything finished is durable: 0 checkpoints committed\n"


def test_beside_the_daemon_nothing_is_sent_twice(tmp_path: Path, s3: S3, watched: Path) -> None:
    with gate(s3) as closed:
        closed.hold(lambda request: request.is_data)
        agent = Agent(tmp_path, closed.s3, checkpoints=watched, settle="300ms")
        with agent.running() as process:
            agent.wait_for(lambda _: closed.held == 1, process)
            with subprocess.Popen(
                agent.argv("flush", "--wait"), env=agent.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            ) as flush:
                agent.wait_for(lambda _: closed.held == 2, process)  # each holds one of its own
                closed.open()
                output, errors = flush.communicate(timeout=120)
            assert (flush.returncode, errors) == (0, "")
            assert "6 checkpoints committed" in output
            agent.wait_for(lambda status: status["commits"] == COUNT and status["pending_checkpoints"] == 0, process)
        assert len(closed.data()) == COUNT
        assert set(closed.data().values()) == {1}
    assert names(s3) == sorted(path.name for path in watched.iterdir())
    assert len({manifest.seq for manifest in committed(s3)}) == COUNT


def test_s3_does_not_answer(tmp_path: Path, s3: S3, watched: Path, refused: str) -> None:
    agent = Agent(tmp_path, S3(refused, s3.prefix), checkpoints=watched, settle="300ms")
    done = agent.command("flush", check=False)
    assert (done.returncode, done.stdout) == (7, "")
    what, mend = done.stderr.strip().splitlines()
    assert refused in what
    assert mend.startswith("  mend: ")

    agent.env.update(s3.env)
    for path in watched.iterdir():
        path.unlink()
    assert "6 checkpoints committed" in agent.command("flush").stdout, "it was staged before S3 was asked"
    assert len(names(s3)) == COUNT


def test_what_can_not_be_read_is_told(tmp_path: Path, s3: S3, watched: Path) -> None:
    """The rest is durable all the same."""
    agent = Agent(tmp_path, s3, checkpoints=watched, settle="300ms")
    for path in watched.iterdir():
        path.unlink()
    watched.rmdir()
    watched.write_text("a file where the directory should be")
    done = agent.command("flush", check=False)
    assert done.returncode == 7
    assert str(watched) in done.stderr
    assert "mend: " in done.stderr


def test_without_a_spec(tmp_path: Path, s3: S3, watched: Path) -> None:
    agent = Agent(tmp_path, s3, checkpoints=watched)
    agent.config.unlink()
    done = agent.command("flush", check=False)
    assert done.returncode == 3
    assert str(agent.config) in done.stderr
