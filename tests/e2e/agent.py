"""The agent as its users run it: the real commands, in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.seaweed import S3

AGENT = str(Path(sys.executable).with_name("runctl-agent"))


class Agent:
    """One run: its spec, state directory and environment. `options` are further keys of the run spec."""

    def __init__(
        self,
        tmp_path: Path,
        s3: S3,
        *,
        checkpoints: Path,
        run: str = "test-run",
        env: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        self.run = run
        self.workdir = tmp_path / "work"
        self.workdir.mkdir(exist_ok=True)
        self.state_dir = tmp_path / "state"
        self.config = tmp_path / "run.yaml"
        self.log = tmp_path / "agent.log"
        spec = {
            "run": run,
            "destination": s3.destination,
            "workdir": str(self.workdir),
            "checkpoints": [{"path": str(checkpoints)}],
            **options,
        }
        self.config.write_text(yaml.safe_dump(spec))
        self.env = {
            **os.environ,
            **s3.env,
            "AWS_EC2_METADATA_DISABLED": "true",
            "RUNTIME_DIRECTORY": str(tmp_path / "runctl"),
            **(env or {}),
        }

    def argv(self, command: str, *arguments: str) -> list[str]:
        return [AGENT, command, "--config", str(self.config), "--state-dir", str(self.state_dir), *arguments]

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(self.argv("run"), env=self.env, stderr=log, stdout=log, cwd=self.workdir)

    def begin(self) -> subprocess.Popen[bytes]:
        """Started, and its first status is there."""
        before = self._told_at()
        process = self.start()
        try:
            self.wait_for(lambda status: status["phase"] != "starting" and self._told_at() != before, process)
        except BaseException:
            process.kill()
            process.wait()
            raise
        return process

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """The daemon, from the first status that is its own to SIGTERM; it must end by itself and well."""
        process = self.begin()
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, self.log.read_text()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        assert "Traceback" not in self.log.read_text()

    def command(
        self, command: str, *arguments: str, check: bool = True, seconds: float = 240.0
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.argv(command, *arguments),
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.workdir,
            timeout=seconds,
        )
        assert "Traceback" not in done.stderr, done.stderr
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    def spawn(self, command: str, *arguments: str) -> subprocess.Popen[bytes]:
        """A command that goes on beside the test; what it says is in the log."""
        with self.log.open("ab") as log:
            return subprocess.Popen(self.argv(command, *arguments), env=self.env, stderr=log, stdout=log, cwd=self.workdir)

    def exec(self, command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a training under `runctl-agent exec`, from the repository, as a person would beside the agent."""
        return subprocess.run(
            self.argv("exec", "--", *command), env=self.env, capture_output=True, text=True, check=False, timeout=240, **options
        )

    def status(self) -> dict[str, Any]:
        path = self.state_dir / "status.json"
        return json.loads(path.read_text()) if path.exists() else {"phase": "starting"}

    def _told_at(self) -> int:
        """When the status file was written last."""
        path = self.state_dir / "status.json"
        return path.stat().st_mtime_ns if path.exists() else 0

    def wait_for(
        self, what: Callable[[dict[str, Any]], bool], process: subprocess.Popen[bytes] | None = None, seconds: float = 120.0
    ) -> dict[str, Any]:
        """Poll the status file until `what` holds; the limit is a safety net and never the thing tested."""
        end = time.monotonic() + seconds
        while not what(status := self.status()):
            assert process is None or process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, f"{status}\n{self.log.read_text()}"
            time.sleep(0.05)
        return status
