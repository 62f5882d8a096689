"""Retention on a living run, on a real S3: what is kept, what later checkpoints name, and what a restore finds."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from runctl_agent.contract.keys import Keys
from tests.e2e.agent import Agent
from tests.e2e.committed import committed, everything, has_commits, names
from tests.e2e.seaweed import S3

FROZEN = b"f" * 70_000


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    directory = tmp_path / "checkpoints"
    directory.mkdir()
    return directory


def save(watched: Path, step: int) -> None:
    """A directory with a file that is the same in each, which is sent once."""
    half = watched.parent / "half"
    half.mkdir()
    (half / "embedding.bin").write_bytes(FROZEN)
    (half / "weights.bin").write_bytes(bytes([step]) * 50_000)
    os.rename(half, watched / f"model-{step}")


def stored(s3: S3, agent: Agent, kind: str) -> list[str]:
    base = Keys(s3.prefix, agent.run).base
    return [key.removeprefix(base) for key in everything(s3) if key.startswith(f"{base}{kind}/")]


def test_the_last_stay_and_what_they_name(tmp_path: Path, s3: S3, watched: Path) -> None:
    agent = Agent(tmp_path, s3, checkpoints=watched, settle="300ms", retention={"keep_last": 2, "keep_every": 3})
    with agent.running() as process:
        for step in range(1, 7):
            save(watched, step)
            agent.wait_for(partial(has_commits, step), process)
        agent.wait_for(lambda _: len(stored(s3, agent, "data")) == 4 and not stored(s3, agent, "pins"), process)
        status = agent.status()
    assert (status["conditions"], status["error"]) == ([], "")
    assert names(s3) == ["model-3", "model-5", "model-6"]
    owner = next(file.object for file in committed(s3)[0].files if file.path == "embedding.bin")
    weights = [file.object for manifest in committed(s3) for file in manifest.files if file.path == "weights.bin"]
    assert stored(s3, agent, "data") == sorted([owner, *weights])
    assert owner.startswith("data/000001-00000001/"), "sent once, and never again"
    agent.command("restore", "--to", str(tmp_path / "back"))
    assert (tmp_path / "back" / "model-6" / "embedding.bin").read_bytes() == FROZEN
    assert sorted(os.listdir(watched)) == [f"model-{step}" for step in range(1, 7)], "nothing local goes"


def test_without_retention_nothing_goes_and_nothing_is_condemned(tmp_path: Path, s3: S3, watched: Path) -> None:
    agent = Agent(tmp_path, s3, checkpoints=watched, settle="300ms")
    for step in range(1, 4):
        save(watched, step)
    agent.command("flush")
    assert names(s3) == ["model-1", "model-2", "model-3"]
    assert not any(key.endswith("/gc.json") for key in everything(s3))


def test_flush_deletes_nothing(tmp_path: Path, s3: S3, watched: Path) -> None:
    agent = Agent(tmp_path, s3, checkpoints=watched, settle="300ms", retention={"keep_last": 1})
    for step in range(1, 4):
        save(watched, step)
    agent.command("flush")
    assert names(s3) == ["model-1", "model-2", "model-3"]
    with agent.running() as process:
        agent.wait_for(lambda _: len(stored(s3, agent, "manifests")) == 1, process)
    assert names(s3) == ["model-3"]
