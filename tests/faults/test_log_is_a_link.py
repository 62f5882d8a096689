"""Something else stands where the training's log should be: it is not read, that is published, and checkpoints go on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.logged import Logged
from tests.e2e.seaweed import S3


@pytest.mark.parametrize("what", ["link", "fifo", "directory"])
def test_what_is_not_the_trainings_own_file_is_not_read(tmp_path: Path, s3: S3, what: str) -> None:
    logged = Logged(tmp_path, s3)
    secret = tmp_path / "secret"
    secret.write_bytes(b"zq7 of root\n")
    if what == "link":
        logged.log.symlink_to(secret)
    elif what == "fifo":
        os.mkfifo(logged.log)
    else:
        logged.log.mkdir()
    with logged.running() as process:
        logged.agent.wait_for(lambda status: any("training.log can't be read" in line for line in status["details"]), process)
        logged.save()
        status = logged.agent.wait_for(lambda status: status["commits"] == 2, process)
        assert status["conditions"] == []
        assert logged.there() == b""
        if what == "directory":
            logged.log.rmdir()
        else:
            logged.log.unlink()
        logged.says("one\n")
        logged.arrives(process)
        logged.agent.wait_for(lambda status: not any("training.log" in line for line in status["details"]), process)
    assert not any(b"zq7" in body for body in logged.everything())
