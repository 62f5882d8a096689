"""The real `runctl`, as a person types it: every command line is shown, and below it what it really says."""

from __future__ import annotations

import shlex
import subprocess
import threading
from collections.abc import Mapping
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
        with subprocess.Popen(
            [str(BIN / "runctl"), *arguments],
            cwd=self._folder,
            env=dict(self._env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as process:
            limit = threading.Timer(LIMIT, process.kill)
            limit.start()
            try:
                assert process.stdout is not None
                for text in process.stdout:
                    said.append(text)
                    self._screen.output(text.rstrip("\n"))
            except BaseException:
                process.kill()
                raise
            finally:
                limit.cancel()
        if process.returncode != code:
            raise Unexpected(f"`{line}` ended with exit code {process.returncode}, not {code}")
        if code:
            self._screen.say(f"(exit code {code})")
        return "".join(said)
