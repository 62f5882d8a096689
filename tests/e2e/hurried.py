"""The agent with a clock that runs fast: all that waits for real (sockets, disks, the server) waits as ever, all that the
agent waits for by its own clock (settling, heartbeats, backing off) takes a twentieth of the time.

Run as a module, with the agent's own arguments: `python -m tests.e2e.hurried run --config F --state-dir D`.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.auth

from runctl_agent import cli, daemon, report, runtime
from runctl_agent.runtime import Event, ThreadRuntime
from runctl_agent.store import client, plan
from tests.e2e.agent import Agent
from tests.e2e.seaweed import ROOT, S3

SPEED = 20.0


class HurriedEvent:
    def __init__(self) -> None:
        self._event = threading.Event()
        self.set, self.clear, self.is_set = self._event.set, self._event.clear, self._event.is_set

    def wait(self, timeout: float | None = None) -> bool:
        return self._event.wait(None if timeout is None else timeout / SPEED)


class HurriedRuntime(ThreadRuntime):
    """`since`: when the clock was right, so that every life of one machine has the same."""

    def __init__(self) -> None:
        self._since = float(os.environ["HURRIED_SINCE"])
        self._began = time.monotonic()

    def now(self) -> float:
        return self._since + (time.time() - self._since) * SPEED

    def monotonic(self) -> float:
        return self._began + (time.monotonic() - self._began) * SPEED

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / SPEED)

    def event(self) -> Event:
        return HurriedEvent()


class HurriedAgent(Agent):
    """`read_timeout`: how long it waits for an answer, in true seconds."""

    def __init__(self, tmp_path: Path, s3: S3, *, checkpoints: Path, read_timeout: float = 30.0, **options: Any) -> None:
        options = {"settle": "300ms", "publish": {"heartbeat": "1s"}, **options}
        super().__init__(tmp_path, s3, checkpoints=checkpoints, **options)
        self._skew = tmp_path / "skew"
        self.set_clock(0)
        self.env |= {
            "PYTHONPATH": str(ROOT),
            "HURRIED_SINCE": str(time.time()),
            "HURRIED_READ_TIMEOUT": str(read_timeout),
            "HURRIED_SKEW": str(self._skew),
        }

    def set_clock(self, ahead: float) -> None:
        """By how many seconds its requests are dated ahead."""
        self._skew.write_text(str(ahead))

    def upgrade(self, version: str, part: int = plan.SMALLEST_PART) -> None:
        """The next life is another version's, which cuts files into parts of `part` bytes."""
        self.env |= {"HURRIED_VERSION": version, "HURRIED_PART": str(part)}

    def reboot(self) -> None:
        """The next life is in another boot, which began just now."""
        self.env |= {"RUNCTL_BOOT_ID": str(uuid.uuid4()), "RUNCTL_BOOT_TIME": str(int(time.time()))}

    def argv(self, command: str, *arguments: str) -> list[str]:
        argv = super().argv(command, *arguments)
        return [sys.executable, "-m", "tests.e2e.hurried", *argv[1:]]


def _skewed(remove_tzinfo: bool = True) -> datetime:
    """botocore's own clock, which dates and signs requests, as a machine's clock that is wrong would set it."""
    right: datetime = _right(remove_tzinfo)
    return right + timedelta(seconds=float(Path(os.environ["HURRIED_SKEW"]).read_text()))


_right = botocore.auth.get_current_datetime  # type: ignore[attr-defined]  # the stubs lack it


def main() -> None:
    runtime.ThreadRuntime = HurriedRuntime  # type: ignore[misc]
    client.READ_TIMEOUT = float(os.environ["HURRIED_READ_TIMEOUT"])
    if "HURRIED_VERSION" in os.environ:
        report.__version__ = os.environ["HURRIED_VERSION"]  # type: ignore[attr-defined]
        plan.SMALLEST_PART = int(os.environ["HURRIED_PART"])
    botocore.auth.get_current_datetime = _skewed  # type: ignore[attr-defined]
    if sys.argv[1] == "run":  # which would become another process
        del sys.argv[1]
        daemon.ThreadRuntime = HurriedRuntime  # type: ignore[attr-defined]
        daemon.main()
    else:
        cli.main()


if __name__ == "__main__":
    main()
