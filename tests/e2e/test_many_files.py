"""Thousands of files in one watched directory, from the first look on."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from tests.e2e.agent import Agent
from tests.e2e.committed import has_commits, names
from tests.e2e.seaweed import S3
from tests.fakes.trainer_disk import body

COUNT = 10_000
MANY = 3_000
"""Each of them is journaled: some hundred a second on a disk that is asked for every sync."""


def test_a_new_checkpoint_among_them_is_found(tmp_path: Path, s3: S3) -> None:
    watched = tmp_path / "checkpoints"
    watched.mkdir()
    for number in range(COUNT):
        (watched / f"sample-{number}.json").write_bytes(b"{}")
    agent = Agent(tmp_path, s3, checkpoints=watched, settle="300ms")
    agent.config.write_text(agent.config.read_text().replace(f"- path: {watched}", f"- path: {watched}\n  exclude: ['sample-*']"))
    with agent.running() as process:
        for number in range(3):
            (watched / f"step-{number}.pt").write_bytes(body("step"))
            agent.wait_for(partial(has_commits, number + 1), process)
    assert names(s3) == ["step-0.pt", "step-1.pt", "step-2.pt"]
    assert len(os.listdir(watched)) == COUNT + 3


def test_each_may_be_a_checkpoint(tmp_path: Path) -> None:
    """Nothing answers yet, so none can be sent: all of them are staged and told of."""
    watched = tmp_path / "checkpoints"
    watched.mkdir()
    for number in range(MANY):
        (watched / f"step-{number}.pt").write_bytes(b"\x80\x04N.")
    agent = Agent(tmp_path, S3("http://127.0.0.1:9", ""), checkpoints=watched, settle="300ms")
    process = agent.start()
    try:
        status = agent.wait_for(lambda status: status.get("pending_checkpoints") == MANY, process)
        assert status["pending_bytes"] == 4 * MANY
    finally:
        process.terminate()
        assert process.wait(60) == 0
    assert "Traceback" not in agent.log.read_text()
