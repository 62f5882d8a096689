"""One agent and one training a machine, whatever runs they are of: who has it, by two lock files in its runtime directory.

A lock (flock(2)) is held by whoever is meant, so it goes with him; what its file says is for the others: whose it is. The
command holds the training's, too. Should all who hold it be killed but not the command, or the file be removed, then the
process that `exec` wrote down keeps the machine, as long as it lives.

Each of the two takes its own lock first and then looks at the other's: of two that begin at once at least one is refused.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from runctl_agent.errors import WrongStateError
from runctl_agent.records import ProcessId
from runctl_agent.runtime import Runtime

from .marker_file import look_at
from .record import ExitRecord, decode_process, decode_record, exit_path, locked, started_path
from .trainer import Processes

log = logging.getLogger(__name__)

AGENT, TRAINING = "agent.lock", "training.lock"

LOOKS, AGAIN = 20, 0.1
"""How often a lock that seems another's is looked at, and the seconds between: who has just taken it may not have said so
yet, and who was just killed may still be ending."""

LONGEST = 65536
"""Bytes of a lock file that are read."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """Whose a lock is, by its file; `pid` is of who took it, for people."""

    run: str
    state_dir: str
    pid: int
    boot_id: str


class Tenancy:
    """Of one run with one state directory. `directory` is the runtime directory of the machine; it is made if missing."""

    def __init__(self, directory: str, run: str, state_dir: str, processes: Processes, boot_id: str, runtime: Runtime) -> None:
        self._directory = directory
        self._processes = processes
        self._runtime = runtime
        self._own = Tenant(run, os.path.realpath(state_dir), os.getpid(), boot_id)

    @contextmanager
    def agent(self) -> Iterator[None]:
        """As the machine's agent. Raises WrongStateError: it has another, or a training that is not this one's."""
        with self._holding(AGENT, f"no agent is started for run {self._own.run}"):
            self.free_of_training()
            yield

    @contextmanager
    def training(self) -> Iterator[int | None]:
        """As the machine's training; the descriptor is for the command to hold, too. None: there is nowhere to lock.

        Raises WrongStateError: another lives, or the agent is another run's. Afterwards nobody holds it, whoever has it open.
        """
        what = f"run {self._own.run} is not started"
        with self._holding(TRAINING, what) as held:
            self._refuse_any(AGENT, what, living=False)
            yield held

    def free_of_training(self) -> None:
        """Raises WrongStateError where a training lives that is not of this run with this state directory."""
        self._refuse_any(TRAINING, f"no agent is started for run {self._own.run}", living=True)

    @contextmanager
    def _holding(self, name: str, what: str) -> Iterator[int | None]:
        path = os.path.join(self._directory, name)
        fd = self._taken(path, what)
        try:
            if fd is not None:
                self._refuse_living(path, what)
                _say(fd, self._own)
            yield fd
        finally:
            if fd is not None:
                fcntl.flock(fd, fcntl.LOCK_UN)  # what the training left behind has it open, too
                os.close(fd)

    def _taken(self, path: str, what: str) -> int | None:
        """None: there is nowhere to lock, and training comes first."""
        for _ in range(LOOKS):
            try:
                os.makedirs(self._directory, exist_ok=True)
                if (fd := taken(path)) is not None:
                    return fd
            except OSError as error:
                log.warning("a second training on this machine would not be refused: %s: %s", path, error.strerror)
                return None
            self._runtime.sleep(AGAIN)
        raise self._refusal(path, what, _said(path))

    def _refuse_any(self, name: str, what: str, *, living: bool) -> None:
        """Where the lock is another's. `living`: also where nobody holds it, and his training lives."""
        path = os.path.join(self._directory, name)
        for left in reversed(range(LOOKS)):
            found = _said(path)
            if not locked(path) or (found is not None and self._same(found)):
                break
            if not left:
                raise self._refusal(path, what, found)
            self._runtime.sleep(AGAIN)
        if living:
            self._refuse_living(path, what)

    def _refuse_living(self, path: str, what: str) -> None:
        """Where who had it last is another, and his training lives."""
        found = _said(path)
        if found is not None and not self._same(found) and self._training_of(found) is not None:
            raise self._refusal(path, what, found)

    def _refusal(self, path: str, what: str, found: Tenant | None) -> WrongStateError:
        if found is None:
            return WrongStateError(what, f"this machine has another already: {path} is locked", f"see who has it: fuser {path}")
        whose = f"run {found.run} (state directory {found.state_dir})"
        if self._same(found):
            whose = "the same run"
        process = self._training_of(found)
        if process is not None:
            why = f"a training of {whose} is alive on this machine, process {process.pid}"
            return WrongStateError(what, why, f"wait for its end, or end it: kill {process.pid}")
        if os.path.basename(path) == AGENT:
            why = f"this machine has an agent already, process {found.pid}, of {whose}"
            return WrongStateError(what, why, f"stop that one: systemctl stop runctl-agent, or kill {found.pid}")
        why = f"a start of {whose} is alive on this machine, process {found.pid}"
        return WrongStateError(what, why, f"wait for its end, or end it: kill {found.pid}")

    def _same(self, found: Tenant) -> bool:
        return (found.run, found.state_dir) == (self._own.run, self._own.state_dir)

    def _training_of(self, found: Tenant) -> ProcessId | None:
        """The command of its last `exec`, if that has not ended in this boot: nor all of its session, if nobody saw its end."""
        started = decode_process(look_at("/", started_path(found.state_dir, found.run)).body)
        if not isinstance(started, ProcessId) or started.boot_id != self._own.boot_id:
            return None
        if self._processes.alive(started):
            return started
        record = decode_record(look_at("/", exit_path(found.state_dir, found.run)).body)
        if isinstance(record, ExitRecord) and record.process == started:
            return None
        return next(iter(self._processes.session(started)), None)


def taken(path: str) -> int | None:
    """A descriptor that holds the lock file `path` for as long as it is open; None: another has it.

    It is not inherited by a command. Raises OSError.
    """
    held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        return None
    return held


def _say(fd: int, own: Tenant) -> None:
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps(asdict(own)).encode() + b"\n", 0)
    except OSError as error:
        log.warning("who has this machine is not said: %s", error.strerror)


def _said(path: str) -> Tenant | None:
    """Read without a lease, other than a marker: who opens a lock file to take it would break that."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fields = json.loads(os.read(fd, LONGEST))
        return Tenant(str(fields["run"]), str(fields["state_dir"]), int(fields["pid"]), str(fields["boot_id"]))
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    finally:
        os.close(fd)
