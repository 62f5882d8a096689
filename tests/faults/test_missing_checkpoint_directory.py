"""The training has not made its checkpoint directory yet, or never will."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.agent import Agent
from tests.e2e.bounded import denied
from tests.e2e.committed import everything, names
from tests.e2e.seaweed import S3
from tests.fakes.trainer_disk import body


def test_it_is_waited_for_and_then_watched(tmp_path: Path, s3: S3) -> None:
    later = tmp_path / "not" / "yet"
    agent = Agent(tmp_path, s3, checkpoints=later, settle="300ms")
    with agent.running() as process:
        status = agent.wait_for(lambda status: str(later) in status["error"], process)
        assert "does not exist" in status["error"]
        assert (status["phase"], denied(status)) == ("waiting", "")
        agent.wait_for(lambda status: status["epoch"] == 1, process)
        assert not (tmp_path / "not").exists()
        assert not [key for key in everything(s3) if "/data/" in key or "/manifests/" in key]

        later.mkdir(parents=True)
        (later / "first.pt").write_bytes(body("first.pt"))
        status = agent.wait_for(lambda status: status["commits"] == 1 and not status["error"], process)
    assert names(s3) == ["first.pt"]
    assert f"mkdir -p '{later}'" in agent.log.read_text()


def test_flush_says_that_it_could_not_be_read(tmp_path: Path, s3: S3) -> None:
    done = Agent(tmp_path, s3, checkpoints=tmp_path / "later").command("flush", check=False)
    assert done.returncode == 7
    assert f"the watched directory {tmp_path / 'later'} does not exist" in done.stderr
    assert "  mend: " in done.stderr
    assert not (tmp_path / "later").exists()
