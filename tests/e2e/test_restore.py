"""`restore`: a checkpoint back from S3, verified, into a directory; nothing that is there is overwritten."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.e2e.agent import Agent
from tests.e2e.seaweed import S3
from tests.e2e.tiny_training import body, save, saved


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    directory = tmp_path / "checkpoints"
    directory.mkdir()
    return directory


@pytest.fixture
def agent(tmp_path: Path, s3: S3, watched: Path) -> Agent:
    """With three checkpoints in S3."""
    for step in (1, 2, 3):
        save(watched / f"model_step_{step}.pt", step, 1000)
    agent = Agent(tmp_path, s3, checkpoints=watched, settle="300ms")
    agent.command("flush")
    return agent


def test_the_newest_and_one_by_name(agent: Agent, tmp_path: Path) -> None:
    to = tmp_path / "to"
    done = agent.command("restore", "--to", str(to))
    assert done.stdout.startswith("restored model_step_3.pt (step 3, 1.2 KiB, verified) to ")
    assert os.listdir(to) == ["model_step_3.pt"]
    assert saved(to / "model_step_3.pt") == body(3, 1000)

    told = json.loads(agent.command("restore", "--to", str(to), "--checkpoint", "model_step_1.pt", "--json").stdout)
    assert (told["checkpoint"], told["path"], told["passed_by"]) == ("model_step_1.pt", str(to / "model_step_1.pt"), [])
    assert saved(to / "model_step_1.pt") == body(1, 1000)
    assert sorted(os.listdir(to)) == ["model_step_1.pt", "model_step_3.pt"]


def test_into_the_watched_directory_by_itself(agent: Agent, watched: Path, s3: S3) -> None:
    for path in watched.iterdir():
        path.unlink()
    agent.command("restore")
    assert os.listdir(watched) == ["model_step_3.pt"]
    assert saved(watched / "model_step_3.pt") == body(3, 1000)


def test_a_name_that_is_not_there(agent: Agent, tmp_path: Path) -> None:
    done = agent.command("restore", "--to", str(tmp_path / "to"), "--checkpoint", "model_stp_2.pt", check=False)
    assert (done.returncode, done.stdout) == (5, "")
    assert "there is no checkpoint 'model_stp_2.pt'" in done.stderr
    mend = done.stderr.splitlines()[-1]
    assert mend.startswith("  mend: choose one that is there: 'model_step_2.pt'")
    assert not (tmp_path / "to").exists()


def test_other_content_is_not_overwritten(agent: Agent, tmp_path: Path) -> None:
    to = tmp_path / "to"
    to.mkdir()
    (to / "model_step_3.pt").write_text("somebody's own")
    (to / "notes.txt").write_text("somebody's own")
    done = agent.command("restore", "--to", str(to), check=False)
    assert (done.returncode, done.stdout) == (6, "")
    assert "model_step_3.pt" in done.stderr
    assert "mend: " in done.stderr
    assert {path.name: path.read_text() for path in to.iterdir()} == {
        "model_step_3.pt": "somebody's own",
        "notes.txt": "somebody's own",
    }


def test_again_into_the_same_directory(agent: Agent, tmp_path: Path) -> None:
    for _ in range(2):
        agent.command("restore", "--to", str(tmp_path / "to"))
    assert saved(tmp_path / "to" / "model_step_3.pt") == body(3, 1000)


def test_nothing_was_committed(tmp_path: Path, s3: S3, watched: Path) -> None:
    done = Agent(tmp_path, s3, checkpoints=watched).command("restore", "--to", str(tmp_path / "to"), check=False)
    assert done.returncode == 5
    assert "nothing was committed yet" in done.stderr
    assert not (tmp_path / "state").exists(), "who only reads leaves no state behind"
