"""The training's user is another than the agent's: inside and outside the files and the process are that user's."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.containers.podman import Engine
from tests.containers.test_image import log_of, machine
from tests.e2e.committed import names
from tests.e2e.seaweed import S3

NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def passable() -> Iterator[Path]:
    """A folder that everybody can reach."""
    folder = Path(tempfile.mkdtemp(prefix="runctl-user-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def test_a_user_without_rights(passable: Path, s3: S3, docker: Engine) -> None:
    end = passable / "one" / "work" / "end"
    agent = machine(passable, s3, docker, "one", 1, end, 0, user="nobody")
    os.chown(agent.workdir, NOBODY.pw_uid, NOBODY.pw_gid)
    with agent.running() as process:
        status = agent.wait_for(lambda status: status.get("commits") == 1 and status["phase"] == "training", process)
        trainer = psutil.Process(status["trainer_pid"])
        assert trainer.uids().real == NOBODY.pw_uid
        end.touch()
        status = agent.wait_for(lambda status: status["phase"] == "finished", process)
    assert status["exit_code"] == 0
    assert log_of(agent).startswith(f"user {NOBODY.pw_uid}:{NOBODY.pw_gid} ")
    for name in ("training.log", "training.pid", "training_exit_code.txt", "checkpoints/model_step_1.bin"):
        assert (agent.workdir / name).stat().st_uid == NOBODY.pw_uid, name
    assert names(s3) == ["model_step_1.bin"]
