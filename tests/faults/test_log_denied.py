"""The agent may not read the training's log: that is published, checkpoints go on, and nothing of it is lost."""

from __future__ import annotations

import os
from pathlib import Path

from tests.e2e.bounded import DROP
from tests.e2e.hurried import HurriedAgent
from tests.e2e.logged import Logged
from tests.e2e.seaweed import S3


class Bounded(HurriedAgent):
    def argv(self, command: str, *arguments: str) -> list[str]:
        before = DROP if os.geteuid() == 0 else []
        return [*before, *super().argv(command, *arguments)]


def test_until_it_may(tmp_path: Path, s3: S3) -> None:
    logged = Logged(tmp_path, s3, kind=Bounded)
    logged.says("one\n")
    logged.log.chmod(0)
    with logged.running() as process:
        said = "training.log can't be read: Permission denied"
        logged.agent.wait_for(lambda status: any(said in line for line in status["details"]), process)
        logged.save()
        status = logged.agent.wait_for(lambda status: status["commits"] == 2, process)
        assert status["conditions"] == []
        assert logged.there() == b""
        logged.log.chmod(0o600)
        logged.arrives(process)
        logged.agent.wait_for(lambda status: not any("training.log" in line for line in status["details"]), process)
