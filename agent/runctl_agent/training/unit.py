"""Jobs as transient units of systemd (systemd-run(1)), where the agent is one of its services and root.

A training has a cgroup of its own, `runctl-train.service`: no limit and no protection of the agent's unit binds it, nothing
that happens to that unit reaches it, and at a shutdown it is stopped before the agent. Setup is bound by none of them either.
"""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping

from runctl_agent.contract.spec import Training
from runctl_agent.errors import WrongStateError

from .exec import FORWARDED
from .handover import called, hand_over, listening
from .job import Done, Inside, Job, Running, Train, decode_done, read_outcome, without_managers

TRAIN = "runctl-train"
SETUP = "runctl-setup"
AGENT = "runctl-agent.service"

PATIENCE = 120.0
"""Seconds that the service manager has to start a unit."""

BOOTED = "/run/systemd/system"
"""There if and only if systemd is the init (sd_booted(3))."""


def served(environ: Mapping[str, str], *, euid: int | None = None, pid: int | None = None, booted: str = BOOTED) -> bool:
    """Whether this process is a service of systemd's, as root. SYSTEMD_EXEC_PID is systemd.exec(5)'s, since version 248."""
    own = str(os.getpid() if pid is None else pid)
    root = (os.geteuid() if euid is None else euid) == 0
    return root and environ.get("SYSTEMD_EXEC_PID") == own and os.path.isdir(booted)


class GoingDown(WrongStateError):
    """Nothing is started any more, and nothing has failed."""


class Units:
    """The workers as units. `runtime_dir` is where they call; `training` says how one is ended."""

    def __init__(self, runtime_dir: str, training: Training, going_down: Callable[[], bool]) -> None:
        self._runtime_dir = runtime_dir
        self._training = training
        self._going_down = going_down
        self._numbers = itertools.count(1)

    def start(self, job: Job, *, archive: int | None = None, lock: int | None = None) -> Running:
        """Raises WrongStateError: systemd starts none, or it does not call; GoingDown: because it goes down."""
        try:
            return self._started(job, archive, lock)
        except WrongStateError as error:
            if self._going_down():
                raise GoingDown(error.what, error.why, error.mend) from error
            raise

    def _started(self, job: Job, archive: int | None, lock: int | None) -> Running:
        name = TRAIN if isinstance(job, Train) else f"{SETUP}-{os.getpid()}-{next(self._numbers)}"
        path = os.path.join(self._runtime_dir, f"{name}.sock")
        outcome = os.memfd_create("outcome")
        try:
            with listening(path) as listener:
                _systemd_run(name, [*properties(job, self._training), *_worker(path)])
                call = called(listener)
            try:
                hand_over(call, job, without_managers(os.environ), outcome, archive, lock)
            except BaseException:
                call.close()
                raise
        except TimeoutError as error:
            os.close(outcome)
            raise _refused(name, "its process does not answer", f"journalctl -u {name}") from error
        except BaseException:
            os.close(outcome)
            raise
        return _Unit(name, call, outcome)


def properties(job: Job, training: Training) -> list[str]:
    """Arguments of systemd-run. Each assignment is systemd.service(5)'s, systemd.exec(5)'s or systemd.kill(5)'s."""
    given = {"KillMode": "mixed", "OOMPolicy": "continue", "TasksMax": "infinity", "LimitMEMLOCK": "infinity"}
    given |= {"LimitNOFILE": "1048576", "LimitNPROC": "infinity", "MemoryAccounting": "yes"}
    if isinstance(job, Train):
        given |= {"TimeoutStopSec": f"{max(1.0, training.grace):g}s", "KillSignal": _kill_signal(training.stop_signal)}
        # Both go down at a shutdown, in the reverse order: the agent sees the training's end, and saves what it left.
        given["After"] = f"{AGENT} docker.service" if isinstance(job, Inside) else AGENT
    else:
        given |= {
            "TimeoutStopSec": "10s",
            "Before": AGENT,
        }  # which cancels it; ended before it, it would look as if it had failed
    return [f"--property={name}={value}" for name, value in given.items()]


def _kill_signal(stop_signal: str) -> str:
    """What the worker passes on; of any other it would die itself."""
    return stop_signal if stop_signal in {number.name for number in FORWARDED} else "SIGTERM"


def _worker(path: str) -> list[str]:
    return ["--", sys.executable, "-P", "-m", "runctl_agent.training.worker", path]


def _systemd_run(name: str, arguments: list[str]) -> None:
    what = "the training" if name == TRAIN else "what prepares the training"
    argv = ["systemd-run", f"--unit={name}", "--collect", "--quiet", "--service-type=exec", f"--description=runctl: {what}"]
    try:
        done = subprocess.run(
            [*argv, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _refused(name, f"systemd-run: {error}", "systemctl status") from error
    if done.returncode != 0:
        why = done.stderr.strip()[:300] or f"systemd-run ended with code {done.returncode}"
        raise _refused(name, why, f"systemctl status {name}; it may still run: systemctl stop {name}")


def _refused(name: str, why: str, mend: str) -> WrongStateError:
    return WrongStateError(f"the unit {name} was not started", why, mend)


class _Unit:
    """The worker's end is the end of its call."""

    def __init__(self, name: str, call: socket.socket, outcome: int) -> None:
        self._name = name
        self._call = call
        self._call.setblocking(False)
        self._outcome = outcome
        self._done: Done | None = None

    def outcome(self) -> Done | None:
        if self._done is None and self._ended():
            self._call.close()
            body = read_outcome(self._outcome)
            self._done = (
                decode_done(body) if body else Done(f"the unit {self._name} ended and said nothing: journalctl -u {self._name}")
            )
        return self._done

    def cancel(self) -> None:
        if self._done is None:
            self._call.shutdown(socket.SHUT_WR)

    def _ended(self) -> bool:
        try:
            return self._call.recv(1) == b""
        except BlockingIOError:
            return False
        except ConnectionError:
            return True
