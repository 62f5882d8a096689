"""The same training without any machine or agent, never interrupted: what the weights must be in the end."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from runctl_simulator.processes import die_with_parent

from .commands import Unexpected


class Reference:
    """A process of its own while this context lasts, in `folder`."""

    def __init__(self, folder: Path, script: Path, arguments: Sequence[str]) -> None:
        self._folder = folder
        self._command = [sys.executable, str(script), *arguments]

    def __enter__(self) -> Reference:
        self._folder.mkdir()
        with (self._folder / "training.log").open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env={**os.environ, "RUNCTL_CHECKPOINT_DIR": str(self._folder), "RUNCTL_RESUME_FROM": ""},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, no lock
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def result(self, name: str) -> Path:
        """Its own file `name`, once it has ended. Raises Unexpected."""
        code = self._process.wait()
        if code != 0:
            raise Unexpected(f"the uninterrupted training ended with exit code {code}: {self._folder / 'training.log'}")
        return self._folder / name


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
