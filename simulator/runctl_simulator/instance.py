"""One simulated instance, seen from outside: its folder, its boots, its metadata service, its ends."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from select import PIPE_BUF

from . import image
from .imds import Identity, ImdsServer
from .init import EXECUTE, KILL_AGENT, SHUT_DOWN, Boot
from .processes import below, children, kill_below, reap


class Instance:
    """A folder below `folder`: root/ survives everything but `discard`, console.log all.

    `tags` answers None where the instance does not have its tags in IMDS. Every method but `processes` wants the caller's lock.
    """

    def __init__(self, folder: Path, user_data: bytes, tags: Callable[[], Mapping[str, str] | None]) -> None:
        self.folder = folder
        self.root = folder / "root"
        self._tags = tags
        self._process: subprocess.Popen[bytes] | None = None
        self._imds: ImdsServer | None = None
        self.rebooting = False
        folder.mkdir(parents=True)
        image.make_root(self.root)
        (folder / "user-data").write_bytes(user_data)

    @property
    def on(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def imds(self) -> ImdsServer:
        """Raises ValueError for a machine that is off."""
        if self._imds is None:
            raise ValueError("the instance is not running")
        return self._imds

    def boot(self, identity: Identity, life_cycle: str, surroundings: Mapping[str, str], grace: float) -> None:
        """`surroundings`: endpoints and credentials, in place of DNS and of the instance's role."""
        self._imds = ImdsServer(identity, life_cycle=life_cycle, live_tags=self._tags)
        self._imds.start()
        boot = {
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self._imds.endpoint,
            "RUNCTL_BOOT_ID": str(uuid.uuid4()),
            "RUNCTL_BOOT_TIME": str(int(time.time())),
        }
        environment = {**image.environment(self.root), **surroundings, **boot}
        Boot(environment, image.agent_command(self.root), str(self.root / image.SPEC), grace).write(self.folder)
        with open(self.folder / "console.log", "ab") as console:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "runctl_simulator.init", str(self.folder)],
                env=image.environment(self.root),
                cwd=self.root,
                stdin=subprocess.PIPE,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )

    def shut_down(self) -> None:
        """The power button: in order, and later."""
        self._say(SHUT_DOWN)

    def kill_agent(self) -> int | None:
        """SIGKILL; its pid, None if none runs."""
        with suppress(OSError):
            pid = int((self.folder / "agent.pid").read_text())
            self._say(KILL_AGENT)
            return pid
        return None

    def execute(self, command: list[str]) -> None:
        """Start a command, in a session of its own. Raises ValueError."""
        line = EXECUTE + json.dumps(command)
        if self._process is None or len(line) >= PIPE_BUF:
            raise ValueError("the instance is off, or the command too long")
        self._say(line)

    def cut_power(self) -> None:
        """Every process is gone when this returns."""
        if self._process is not None:
            reap([pid for pid in kill_below(self._process.pid, and_itself=True) if pid != self._process.pid])
            self._process.wait()
            self._off()

    def ended(self) -> int | None:
        """The exit code of an init that ended by itself, once; its machine is then off."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        self._off()
        return code

    def discard(self) -> None:
        """The root disk is deleted with its instance (DeleteOnTermination)."""
        if self.root.exists():
            shutil.rmtree(self.root, ignore_errors=True)

    def processes(self) -> list[int]:
        process = self._process
        return [] if process is None else [process.pid, *below(process.pid)]

    def _say(self, word: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(BrokenPipeError):
                os.write(self._process.stdin.fileno(), f"{word}\n".encode())

    def _off(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None
        if self._imds is not None:
            self._imds.stop()
        self._imds = None


def end_strays(known: set[int]) -> None:
    """What a killed init left behind was adopted by this process."""
    for pid in set(children(os.getpid())) - known:
        reap(kill_below(pid, and_itself=True))
