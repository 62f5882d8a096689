"""The real `runctl`, as a person types it: every command line is shown, and below it what it really says."""

from __future__ import annotations

import shlex
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from runctl_simulator.image import BIN

from .screen import Screen

LIMIT = 180.0
"""Seconds that one command may take: a safety net."""


class Unexpected(Exception):
    """The demo can't go on: something did not happen as it must."""


class Commands:
    """Started in `folder` with the environment `env`, in which RUNCTL is found on PATH."""

    def __init__(self, folder: Path, env: Mapping[str, str], screen: Screen) -> None:
        self._folder = folder
        self._env = env
        self._screen = screen

    def run(self, *arguments: str, code: int = 0) -> str:
        """`runctl ARGUMENTS`; all that it said. Raises Unexpected where its exit code is not `code`."""
        line = shlex.join(("runctl", *arguments))
        self._screen.command(line)
        said = []
        with self._started(arguments) as process:
            assert process.stdout is not None
            for text in process.stdout:
                said.append(text)
                self._screen.output(text.rstrip("\n"))
            process.wait()
        if process.returncode != code:
            raise Unexpected(f"`{line}` ended with exit code {process.returncode}, not {code}")
        if code:
            self._screen.say(f"(exit code {code})")
        return "".join(said)

    @contextmanager
    def _started(self, arguments: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
        """It has ended after this context, wherever a signal strikes, and after `LIMIT` at the latest."""
        process = subprocess.Popen(
            [str(BIN / "runctl"), *arguments],
            cwd=self._folder,
            env=dict(self._env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        limit = threading.Timer(LIMIT, process.kill)
        limit.daemon = True
        with process:
            try:
                limit.start()
                yield process
            finally:
                limit.cancel()
                process.kill()  # which does nothing to one that has ended
