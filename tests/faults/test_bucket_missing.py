"""The destination's bucket does not exist: it is never made, and nothing is lost while that is being mended."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.agent import Agent
from tests.e2e.bounded import denied
from tests.e2e.committed import names
from tests.e2e.seaweed import S3
from tests.fakes.trainer_disk import body

ABSENT = "there-is-no-such-bucket"


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    directory = tmp_path / "checkpoints"
    directory.mkdir()
    (directory / "model.pt").write_bytes(body("model.pt"))
    return directory


def buckets(s3: S3) -> list[str]:
    return [bucket["Name"] for bucket in s3.client().list_buckets()["Buckets"]]


def test_it_is_told_with_its_mend_and_the_checkpoint_is_kept_for_the_right_one(tmp_path: Path, s3: S3, watched: Path) -> None:
    agent = Agent(tmp_path, S3(s3.endpoint, s3.prefix, bucket=ABSENT), checkpoints=watched, settle="300ms")
    with agent.running() as process:
        status = agent.wait_for(lambda status: bool(denied(status)) and status["pending_checkpoints"] == 1, process)
        assert f"there is no bucket {ABSENT}" in denied(status)
        assert f"aws s3 mb s3://{ABSENT}" in denied(status)
        (watched / "model.pt").unlink()  # rotation goes on meanwhile
    assert ABSENT not in buckets(s3)

    agent.config.write_text(agent.config.read_text().replace(ABSENT, s3.bucket))
    with agent.running() as process:
        agent.wait_for(lambda status: status["commits"] == 1 and not denied(status), process)
    assert names(s3) == ["model.pt"]


def test_every_command_says_so(tmp_path: Path, s3: S3, watched: Path) -> None:
    agent = Agent(tmp_path, S3(s3.endpoint, s3.prefix, bucket=ABSENT), checkpoints=watched, settle="300ms")
    for command in ("flush", "restore"):
        done = agent.command(command, check=False)
        assert done.returncode == 4
        assert f"there is no bucket {ABSENT}" in done.stderr
        assert f"aws s3 mb s3://{ABSENT}" in done.stderr
    assert ABSENT not in buckets(s3)
