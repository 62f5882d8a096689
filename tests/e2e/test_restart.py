"""The agent killed in the middle of a multipart upload: training is untouched, and what was sent is not sent again."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.agent import Agent
from tests.e2e.committed import committed
from tests.e2e.gate import Gate, Request, gate
from tests.e2e.seaweed import S3
from tests.e2e.tiny_training import body, saved, training

SIZE = 40 * 1024**2
PARTS = 6
"""Of 8 MiB: the archive is a little larger than its body."""
BEFORE = 2
PART = 8 * 1024**2


@pytest.fixture
def closed(s3: S3) -> Iterator[Gate]:
    """An S3 that takes two parts and holds the others back."""
    taken: set[int] = set()

    def late(request: Request) -> bool:
        if request.part is None or len(taken) < BEFORE:
            taken.update({request.part} if request.part is not None else ())
            return False
        return True

    with gate(s3) as before:
        before.hold(late)
        yield before


def test_killed_in_the_middle_of_an_upload(tmp_path: Path, s3: S3, closed: Gate) -> None:
    watched, end = tmp_path / "checkpoints", tmp_path / "end"
    agent = Agent(tmp_path, closed.s3, checkpoints=watched, settle="300ms")
    command = agent.argv("exec", "--", *training(watched, steps=1, size=SIZE, until=end))
    with subprocess.Popen(command, env=agent.env) as trainer:
        doomed = agent.start()
        # The state counts what is journaled as sent.
        agent.wait_for(lambda status: closed.held > 0 and 0 < status["pending_bytes"] < SIZE - (BEFORE - 1) * PART, doomed)
        doomed.kill()
        doomed.wait()
        assert committed(s3) == []
        assert trainer.poll() is None
        closed.cut()

        with agent.running() as process:
            status = agent.wait_for(lambda status: status["commits"] == 1, process)
            assert (status["phase"], status["attempt"], status["epoch"]) == ("training", 1, 1)
            end.touch()
            agent.wait_for(lambda status: status["phase"] == "finished", process)
        assert trainer.wait(60) == 0

    (manifest,) = committed(s3)
    assert manifest.complete
    assert sorted(part or 0 for _, part in closed.data()) == list(range(1, PARTS + 1))
    assert set(closed.data().values()) == {1}, "a part was sent twice"
    assert s3.client().list_multipart_uploads(Bucket=s3.bucket, Prefix=s3.prefix).get("Uploads", []) == []
    agent.env.update(s3.env)
    agent.command("restore", "--to", str(tmp_path / "rescued"))
    assert saved(tmp_path / "rescued" / "model_step_1.pt") == body(1, SIZE)
