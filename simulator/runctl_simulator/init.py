"""What cloud-init and systemd are on a real instance: `python -m runctl_simulator.init FOLDER`, one process per boot.

It unpacks the user-data at the first boot, starts the agent and starts it again when it fails, and shuts down in order.
Its standard input is the power cord: lines are commands, and its end is the end of everything here, so no instance outlives the
simulator.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from . import cloud_config
from .image import STOPPING
from .processes import adopt_orphans, below, children, die_with_parent, give_up_the_host, kill_below

POWERED_OFF, REBOOT = 0, 3
"""How init ends: it was shut down; it wants to be booted again."""

SHUT_DOWN, KILL_AGENT, EXECUTE = "shutdown", "kill-agent", "execute "
"""Lines on its standard input, the last with a command as JSON. On its FIFO, from inside: poweroff, reboot, halt."""

RESTART_SEC = 0.1
"""systemd's default; it doubles while the agent lives shorter than HEALTHY seconds, up to SLOWEST."""
SLOWEST = 5.0
HEALTHY = 5.0


@dataclass(frozen=True)
class Boot:
    """What the machine is given at one boot; `grace` is the seconds for the training to end, and then for the agent."""

    environment: dict[str, str]
    agent: list[str]
    spec: str
    grace: float

    def write(self, folder: Path) -> None:
        path = folder / "boot.json"
        path.touch(mode=0o600)  # there are keys in it
        path.write_text(json.dumps(asdict(self)))

    @staticmethod
    def read(folder: Path) -> Boot:
        return Boot(**json.loads((folder / "boot.json").read_text()))


class Init:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._root = folder / "root"
        self._boot = Boot.read(folder)
        self._agent: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._delay = RESTART_SEC
        self._restart_at: float | None = None
        self._selector = selectors.DefaultSelector()
        self._powered = True

    def run(self) -> int:
        """Until it is shut down; the exit code. When the cord is pulled it does not return."""
        adopt_orphans()
        give_up_the_host()
        self._listen()
        self._unpack()
        self._start_agent()
        while True:
            for word in self._heard(self._until_restart()):
                if word == SHUT_DOWN or (word == "poweroff" and self._powered):
                    self._shut_down()
                    return POWERED_OFF
                if word == "reboot" and self._powered:
                    self._shut_down()
                    return REBOOT
                if word == "halt" and self._powered:
                    self._shut_down()
                    self._powered = False  # stays on, and billed, until EC2 is told otherwise
                if word == KILL_AGENT and self._agent is not None:
                    self._agent.kill()
                if word.startswith(EXECUTE) and self._powered:
                    self._execute(json.loads(word.removeprefix(EXECUTE)))
            self._reap()
            self._look_after_the_agent()

    # --- what is said to it ---

    def _listen(self) -> None:
        fifo = self._root / "run/initctl"
        fifo.unlink(missing_ok=True)
        os.mkfifo(fifo, 0o600)
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(0, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for fd in (0, woken, os.open(fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)):
            self._selector.register(fd, selectors.EVENT_READ, woken if fd == woken else None)

    def _until_restart(self) -> float | None:
        return None if self._restart_at is None else max(0.0, self._restart_at - time.monotonic())

    def _heard(self, timeout: float | None) -> list[str]:
        """Whole lines: each is written at once, pipe(7)."""
        lines: list[str] = []
        for key, _ in self._selector.select(timeout):
            with suppress(BlockingIOError):
                said = os.read(key.fd, 2**16)
                if key.fd == 0 and not said:
                    self._power_cut()
                if key.data is None:
                    lines += said.decode("utf-8", "replace").splitlines()
        return lines

    def _power_cut(self) -> None:
        kill_below(os.getpid(), and_itself=False)
        os._exit(1)

    # --- boot ---

    def _unpack(self) -> None:
        """write_files runs once per instance, cloud-init's semaphore says so."""
        done = self._root / "var/lib/cloud/instance/sem/config_write_files"
        if done.exists():
            return
        files, warnings = cloud_config.parse((self._folder / "user-data").read_bytes())
        for warning in warnings + cloud_config.write(files, self._root):
            _log(f"cloud-init: WARNING: {warning}")
        done.parent.mkdir(parents=True)
        done.touch()

    def _start_agent(self) -> None:
        (self._root / STOPPING).unlink(missing_ok=True)
        if not os.path.exists(self._boot.spec):
            _log("init: there is no run spec, so no agent is started")
            return
        self._restart_at = None
        self._started = time.monotonic()
        self._agent = subprocess.Popen(
            self._boot.agent,
            env=self._boot.environment,
            cwd=self._root,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, no lock
        )
        part = self._folder / "agent.pid.part"
        part.write_text(str(self._agent.pid))
        part.rename(self._folder / "agent.pid")

    # --- life ---

    def _execute(self, command: list[str]) -> None:
        try:
            started = subprocess.Popen(
                command,
                env=self._boot.environment,
                cwd=self._boot.environment["HOME"],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            started.returncode = 0  # nobody waits for it but `_reap`
        except OSError as error:
            _log(f"init: {command[0]}: {error.strerror}")

    def _look_after_the_agent(self) -> None:
        """Restart=on-failure, systemd.service(5)."""
        now = time.monotonic()
        if self._restart_at is not None and now >= self._restart_at and self._powered:
            self._start_agent()
        if self._agent is None or self._agent.poll() is None:
            return
        code, self._agent = self._agent.returncode, None
        (self._folder / "agent.pid").unlink(missing_ok=True)
        if code == 0:
            _log("init: the agent ended")
            return
        self._delay = RESTART_SEC if now - self._started > HEALTHY else min(2 * self._delay, SLOWEST)
        self._restart_at = now + self._delay
        _log(f"init: the agent ended with {code}: it is started again in {self._delay:g} s")

    def _reap(self) -> None:
        """Orphans only: the agent's end is for its Popen."""
        agent = self._agent.pid if self._agent is not None else 0
        with suppress(ChildProcessError):
            while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if found.si_pid == agent:
                    return
                os.waitpid(found.si_pid, 0)

    # --- end ---

    def _shut_down(self) -> None:
        """The training first: SIGTERM to its main process alone, as by KillMode=mixed, systemd.kill(5); then the agent."""
        agent = self._agent.pid if self._agent is not None else 0
        _log("init: shutting down")
        (self._root / STOPPING).touch()
        _terminate([pid for pid in children(os.getpid()) if pid != agent] + (children(agent) if agent else []))
        self._wait(lambda: [pid for pid in below(os.getpid()) if pid != agent])
        if self._agent is not None and self._agent.poll() is None:
            _terminate([agent])
            self._wait(lambda: below(os.getpid()))
        kill_below(os.getpid(), and_itself=False)
        self._agent = None
        self._restart_at = None
        self._reap()

    def _wait(self, left: Callable[[], list[int]]) -> None:
        end = time.monotonic() + self._boot.grace
        while left() and time.monotonic() < end:
            self._heard(0.02)
            self._reap()


def _terminate(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(Init(Path(sys.argv[1])).run())
