"""Somebody with a shell on the machine: the training's user, who may do what the kernel lets them, and nothing else."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.agent import Agent
from tests.e2e.seaweed import S3

USER = "daemon"
"""There on every machine, and may do nothing."""
UID, GID = pwd.getpwnam(USER)[2:4]
SECRET = b"-----BEGIN OPENSSH PRIVATE KEY-----b3BlbnNzaC1rZXktdjEA"
"""What only root may read, and must never be in S3, in the state or in a log."""


class Attacker:
    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir()
        os.chown(home, UID, GID)

    def runs(self, script: str, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A Python script, as this user, in their home."""
        return subprocess.run(
            self._command(script, arguments),
            cwd=self.home,
            user=UID,
            group=GID,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=check,
            env=self._env,
        )

    @contextmanager
    def running(self, script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
        """The script beside the test; it is given a line on its standard input when it is to end, and must end well."""
        process = subprocess.Popen(
            self._command(script, arguments),
            cwd=self.home,
            user=UID,
            group=GID,
            extra_groups=[],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self._env,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    @property
    def _env(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.home)}

    def _command(self, script: str, arguments: tuple[object, ...]) -> list[str]:
        # The interpreter itself, not the environment's: that may lie where only root goes.
        return [PYTHON, "-I", "-c", script, *map(str, arguments)]


def _python() -> str:
    """One that any user can start."""
    for found in ("/usr/bin/python3", sys.executable):
        path = os.path.realpath(found)
        if os.path.exists(path) and not path.startswith("/root"):
            return path
    raise FileNotFoundError("no Python that another user than root may start: apt-get install python3")


PYTHON = _python()


class Target(Agent):
    """Root's agent on the attacker's training, with a file of root's beside it that is nobody else's business."""

    def __init__(self, place: Path, s3: S3, attacker: Attacker, **options: Any) -> None:
        own = place / "root"
        own.mkdir(mode=0o700)
        self.s3 = s3
        self.secret = place / "private"
        self.secret.mkdir(mode=0o700)
        (self.secret / "model.bin").write_bytes(SECRET)
        (self.secret / "model.bin").chmod(0o600)
        self.watched = attacker.home / "checkpoints"
        super().__init__(own, s3, checkpoints=self.watched, **{"settle": "300ms", "publish": {"heartbeat": "1s"}, **options})
        self.workdir = attacker.home
        spec = json.loads(json.dumps(self._spec())) | {"workdir": str(attacker.home)}
        self.config.write_text(json.dumps(spec))
        attacker.runs("import os; os.mkdir('checkpoints')")

    def _spec(self) -> dict[str, Any]:
        import yaml

        found: dict[str, Any] = yaml.safe_load(self.config.read_text())
        return found

    def committed(self, *names: str) -> None:
        """Wait until these are safe."""
        from tests.e2e.committed import committed

        self.wait_for(lambda _: set(names) <= {one.checkpoint for one in committed(self.s3, self.run)})

    def leaks(self) -> list[str]:
        """Where the secret has got to."""
        with self.s3.store() as store:
            found = [
                key for key in store.list(f"{self.s3.prefix}/") if (got := store.get(key)) is not None and SECRET in got.body
            ]
        told = (self.log, self.state_dir / "status.json")
        return found + [str(path) for path in told if path.exists() and SECRET in path.read_bytes()]

    def untouched(self) -> bool:
        """Of root's folder: what is in it, whose it is, and with which rights."""
        folder, file = self.secret.stat(), (self.secret / "model.bin").stat()
        return (
            os.listdir(self.secret) == ["model.bin"]
            and (folder.st_uid, folder.st_mode & 0o7777, file.st_uid, file.st_mode & 0o7777) == (0, 0o700, 0, 0o600)
            and (self.secret / "model.bin").read_bytes() == SECRET
        )
