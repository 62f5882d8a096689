"""A command under `exec`, in processes of their own."""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from runctl_agent.contract.spec import Training
from runctl_agent.runtime import ThreadRuntime
from runctl_agent.training.marker_file import Look
from runctl_agent.training.markers import Marker, MarkerFiles
from runctl_agent.training.record import ExitRecord, decode_record

_WRAPPER = """
import json, sys
from runctl_agent.training.exec import run_exec
given = json.loads(sys.argv[1])
sys.exit(run_exec(given.pop("command"), **given))
"""


class Wrapped:
    """One workdir and one state directory, and commands run in them."""

    def __init__(self, tmp_path: Path) -> None:
        self.workdir = tmp_path / "work"
        self.state_dir = tmp_path / "state"
        self.workdir.mkdir()
        self.pid_file = self.workdir / "training.pid"
        self.exit_code_file = self.workdir / "training_exit_code.txt"
        self.complete_file = self.workdir / "training_complete.txt"
        self._files = MarkerFiles(str(self.workdir), Training(), str(self.state_dir), "gpt2")

    def argv(self, command: Sequence[str]) -> list[str]:
        given = {
            "command": list(command),
            "pid_file": str(self.pid_file),
            "exit_code_file": str(self.exit_code_file),
            "complete_file": str(self.complete_file),
            "state_dir": str(self.state_dir),
            "run": "gpt2",
        }
        return [sys.executable, "-c", _WRAPPER, json.dumps(given)]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.argv(command), cwd=self.workdir, text=True, capture_output=True, timeout=120, check=False)

    def start(self, *command: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[str]:
        return subprocess.Popen(self.argv(command), cwd=self.workdir, text=True, stdin=subprocess.PIPE, stdout=stdout)

    def record(self) -> ExitRecord:
        found = decode_record((self.state_dir / "exit-gpt2.json").read_bytes())
        assert isinstance(found, ExitRecord)
        return found

    def look(self) -> dict[Marker, Look]:
        return self._files.look()

    def pid(self) -> int:
        """The pid file's, once it is there."""
        runtime = ThreadRuntime()
        give_up = runtime.monotonic() + 60
        while not self.pid_file.exists():
            assert runtime.monotonic() < give_up
            runtime.sleep(0.01)
        return int(self.pid_file.read_text())

    def names(self) -> list[str]:
        return sorted(path.name for path in self.workdir.iterdir())


def line(stream: IO[str] | None) -> str:
    """The next line, within a minute."""
    assert stream is not None
    with selectors.PollSelector() as ready:  # select(2) knows no descriptor beyond 1023
        ready.register(stream, selectors.EVENT_READ)
        assert ready.select(60)
    return stream.readline().strip()
