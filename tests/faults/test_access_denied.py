"""S3 refuses a right: published with the policy that mends it, and the checkpoint is kept until it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.agent import Agent
from tests.e2e.bounded import denied
from tests.e2e.committed import everything, names
from tests.e2e.seaweed import BUCKET, S3
from tests.fakes.trainer_disk import body


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    directory = tmp_path / "checkpoints"
    directory.mkdir()
    (directory / "model.pt").write_bytes(body("model.pt"))
    return directory


@pytest.mark.parametrize(("who", "right"), [("reader", "s3:PutObject"), ("stranger", "s3:ListBucket")])
def test_until_it_is_granted(tmp_path: Path, s3: S3, watched: Path, who: str, right: str) -> None:
    agent = Agent(tmp_path, s3.acting_as(who), checkpoints=watched, settle="300ms")
    with agent.running() as process:
        status = agent.wait_for(lambda status: bool(denied(status)) and status["pending_checkpoints"] == 1, process)
        assert f"allow {right} on arn:aws:s3:::{BUCKET}" in denied(status)
        assert "AccessDenied" in denied(status)
        (watched / "model.pt").unlink()
    assert everything(s3) == []

    agent.env.update(s3.env)
    with agent.running() as process:
        agent.wait_for(lambda status: status["commits"] == 1 and not denied(status), process)
    assert names(s3) == ["model.pt"]


def test_flush_fails_of_it(tmp_path: Path, s3: S3, watched: Path) -> None:
    agent = Agent(tmp_path, s3.acting_as("stranger"), checkpoints=watched, settle="300ms")
    done = agent.command("flush", check=False)
    assert done.returncode == 4
    assert "s3:ListBucket" in done.stderr
    assert everything(s3) == []

    agent.env.update(s3.env)
    assert "1 checkpoint committed" in agent.command("flush").stdout
    assert names(s3) == ["model.pt"]


def test_a_wrong_secret(tmp_path: Path, s3: S3, watched: Path) -> None:
    agent = Agent(tmp_path, s3.acting_as("admin", "zq7-of-nobody"), checkpoints=watched, settle="300ms")
    with agent.running() as process:
        status = agent.wait_for(lambda status: bool(denied(status)), process)
        assert "SignatureDoesNotMatch" in denied(status)
        assert "aws sts get-caller-identity" in denied(status)
    assert "zq7" not in agent.log.read_text()
    assert everything(s3) == []
