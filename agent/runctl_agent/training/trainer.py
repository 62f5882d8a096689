"""The training process: who it is, whether it lives, whose it is, and how it is signalled. Never a bare pid.

A process is (pid, start ticks, boot_id): the ticks are field 22 of /proc/PID/stat (proc_pid_stat(5)), which no change of
the wall clock moves. Its end is seen on a pidfd (pidfd_open(2)), which a later process with the same pid can't confuse.
"""

from __future__ import annotations

import os
import pwd
import re
import select
import signal
from dataclasses import dataclass
from typing import Protocol

from runctl_agent.boot import boot_id
from runctl_agent.contract.malformed import Malformed
from runctl_agent.errors import NotFoundError, RunctlError, WrongStateError
from runctl_agent.records import ProcessId

from .cgroup import in_unit

PID_MAX = 4_194_304
"""PID_MAX_LIMIT of a 64-bit kernel (proc_sys_kernel(5))."""

_GONE = (FileNotFoundError, ProcessLookupError, PermissionError, NotADirectoryError)
"""What /proc answers for a process that is not there, or that `hidepid` hides from this user."""

_STAT = re.compile(rb" (\S)((?: -?\d+){18}) (\d+)(?: |\n|$)", re.DOTALL)
_STATUS = re.compile(rb"^Tgid:\t(\d+)$.*^Uid:\t(\d+)\t", re.MULTILINE | re.DOTALL)


class Processes(Protocol):
    """The processes of this machine."""

    def identify(self, pid: int) -> ProcessId | None:
        """Who has this pid now; a zombie still has one."""

    def alive(self, process: ProcessId) -> bool:
        """Whether it runs; a zombie does not."""

    def exited(self, process: ProcessId) -> bool:
        """Whether it has ended; cheap, never blocks, meant to be polled. Holds the process until then, or until `forget`."""

    def owner(self, process: ProcessId) -> int | None:
        """Its real uid, the one that kill(2) asks for; None: gone."""

    def signal(self, process: ProcessId, number: signal.Signals, *, group: bool = False) -> None:
        """Send to this very process, or to its whole group. Raises NotFoundError: gone; WrongStateError: the kernel refuses."""

    def forget(self, process: ProcessId) -> None:
        """Let go of what `exited` holds."""

    def session(self, leader: ProcessId) -> list[ProcessId]:
        """Who is alive in the session that `leader` began (setsid(2)), or else in its unit's cgroup, also after its end."""


@dataclass(frozen=True, slots=True)
class Stat:
    """What /proc/PID/stat tells: `state` is one letter, `ticks` the start in clock ticks since boot, `session` a pid."""

    state: str
    ticks: int
    session: int = 0

    @property
    def dead(self) -> bool:
        return self.state in "ZXx"


def parse_stat(line: bytes) -> Stat | Malformed:
    """Fields 3, 6 and 22. The command's name, field 2, may hold spaces and parentheses: it ends at the last parenthesis.

    >>> parse_stat(b"7 (a) Z (b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 0")
    Stat(state='S', ticks=4242, session=3)
    >>> parse_stat(b"7 (a")
    Malformed(reason='not a line of /proc/PID/stat')
    """
    fields = _STAT.match(line, line.rfind(b")") + 1)
    if fields is None or b"(" not in line or len(fields[3]) > 20:
        return Malformed("not a line of /proc/PID/stat")
    return Stat(fields[1].decode("ascii", "replace"), int(fields[3]), int(fields[2].split()[2]))


class LinuxProcesses:
    """The real ones. Used by one task at a time. `unit`: the service that a training is, if it is one."""

    def __init__(self, proc: str = "/proc", *, unit: str = "") -> None:
        self._proc = proc
        self._unit = unit
        self._held: dict[ProcessId, int] = {}
        self.boot_id = boot_id(proc=proc)

    def identify(self, pid: int) -> ProcessId | None:
        found = self._look(pid)
        return ProcessId(pid, found[0].ticks, self.boot_id) if found is not None else None

    def alive(self, process: ProcessId) -> bool:
        held = self._held.get(process)
        if held is not None:
            return not _ended(held)
        try:
            fd = self._open(process)
        except OSError:
            return self._alive_by_stat(process)
        if fd is None:
            return False
        try:
            return not _ended(fd)
        finally:
            os.close(fd)

    def exited(self, process: ProcessId) -> bool:
        if process not in self._held:
            try:
                fd = self._open(process)
            except OSError:
                return not self._alive_by_stat(process)
            if fd is None:
                return True
            self._held[process] = fd
        if not _ended(self._held[process]):
            return False
        self.forget(process)
        return True

    def owner(self, process: ProcessId) -> int | None:
        found = self._look(process.pid)
        same = found is not None and ProcessId(process.pid, found[0].ticks, self.boot_id) == process
        return found[1] if found is not None and same else None

    def signal(self, process: ProcessId, number: signal.Signals, *, group: bool = False) -> None:
        what = f"can't send {number.name} to process {process.pid}"
        try:
            fd = self._open(process)
        except OSError as error:
            raise WrongStateError(what, _why(error), "signal it by hand: kill") from error
        if fd is None:
            raise NotFoundError(what, "it has ended", "nothing is left to signal")
        try:
            if group:
                os.killpg(os.getpgid(process.pid), number)
            else:
                signal.pidfd_send_signal(fd, number)
        except ProcessLookupError:
            raise NotFoundError(what, "it has ended", "nothing is left to signal") from None
        except PermissionError as error:
            raise WrongStateError(what, _why(error), "run the agent as root or as the training's user") from error
        finally:
            os.close(fd)

    def forget(self, process: ProcessId) -> None:
        fd = self._held.pop(process, None)
        if fd is not None:
            os.close(fd)

    def session(self, leader: ProcessId) -> list[ProcessId]:
        if leader.boot_id != self.boot_id:
            return []
        found, others, over = [], [], False
        try:
            names = os.listdir(self._proc)
        except OSError as error:
            raise RunctlError("can't look at the processes", _why(error), "raise LimitNOFILE of the agent's unit") from error
        for name in names:
            seen = self._look(int(name)) if name.isdigit() else None
            if seen is None:
                continue
            process = ProcessId(int(name), seen[0].ticks, self.boot_id)
            # The kernel gives a number away only once nobody is left in the session that has it.
            over = over or (process.pid == leader.pid and process.ticks != leader.ticks)
            # Who was there before it is none of its own: most that run on a machine, whose cgroups are not worth reading.
            if seen[0].dead or seen[0].ticks < leader.ticks:
                continue
            if seen[0].session == leader.pid:
                found.append(process)
            elif self._unit and in_unit(process.pid, self._unit, self._proc):
                others.append(process)
        return others if over else found + others

    def close(self) -> None:
        for process in tuple(self._held):
            self.forget(process)

    def _open(self, process: ProcessId) -> int | None:
        """A pidfd of this very process; None: gone. OSError: no descriptor to be had, or no such system call."""
        if process.boot_id != self.boot_id:
            return None
        try:
            fd = os.pidfd_open(process.pid)
        except ProcessLookupError:
            return None
        # Only a look after the opening proves that the descriptor is not of a successor with the same pid.
        found = None
        try:
            found = self.identify(process.pid)
        finally:
            if found != process:
                os.close(fd)
        return fd if found == process else None

    def _alive_by_stat(self, process: ProcessId) -> bool:
        found = self._look(process.pid)
        return found is not None and not found[0].dead and ProcessId(process.pid, found[0].ticks, self.boot_id) == process

    def _look(self, pid: int) -> tuple[Stat, int] | None:
        """What /proc says of this pid, and the real uid. Raises RunctlError where that can't be known: it does not mean gone."""
        if not 0 < pid <= PID_MAX:
            return None
        try:
            # What is opened below this descriptor belongs to one process, even if its pid is given away meanwhile.
            at = os.open(f"{self._proc}/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                stat, status = parse_stat(_read(at, "stat")), _STATUS.search(_read(at, "status"))
            finally:
                os.close(at)
        except _GONE:
            return None
        except OSError as error:
            raise RunctlError(f"can't look at process {pid}", _why(error), "raise LimitNOFILE of the agent's unit") from error
        if not isinstance(stat, Stat) or status is None or int(status[1]) != pid:  # /proc/TID answers too, for a thread
            return None
        return stat, int(status[2])


def adopt(
    processes: Processes, pid: int, user: str, *, euid: int | None = None, written_by: int | None = None
) -> ProcessId | str:
    """The process that a pid file names, or why not. Without `user` it names its writer's own; root's vouches for any."""
    if pid == os.getpid():
        return f"pid {pid} is the agent itself"
    if pid == 1:
        return "pid 1 is the machine's own"
    process = processes.identify(pid)
    if process is None or not processes.alive(process):
        return f"no process with pid {pid} is alive"
    owner = processes.owner(process)
    if owner is None:
        return f"process {pid} has just ended"
    wanted = uid_of(user) if user else None
    if user and wanted is None:
        return f"this machine has no user {user!r}"
    euid = os.geteuid() if euid is None else euid
    if euid != 0 and wanted not in (None, euid):
        return f"the agent is not root and can't follow a process of user {user!r}"
    if owner != (euid if euid != 0 else wanted if wanted is not None else owner):
        return f"process {pid} belongs to uid {owner}, not to the training's user"
    if euid == 0 and not user and written_by not in (None, 0, owner):
        return f"process {pid} belongs to uid {owner}, and the file that names it to uid {written_by}"
    return process


def send_signal(
    processes: Processes,
    process: ProcessId,
    number: signal.Signals,
    *,
    user: str,
    written_by: int | None,
    group: bool = False,
) -> None:
    """Signal the training, if it belongs to `user`; without one, to who wrote the pid file (a file of root's vouches for any).

    Raises WrongStateError: it belongs to someone else; NotFoundError: it has ended.
    """
    what = f"will not send {number.name} to process {process.pid}"
    owner = processes.owner(process)
    if owner is None:
        raise NotFoundError(what, "it has ended", "nothing is left to signal")
    allowed = uid_of(user) if user else written_by
    if owner != allowed and (user or allowed != 0):
        raise WrongStateError(what, f"it belongs to uid {owner}, not to the training's user", "set training.user in the run spec")
    processes.signal(process, number, group=group)


def uid_of(user: str) -> int | None:
    """The uid of a user's name, or of a uid in digits."""
    try:
        return pwd.getpwnam(user).pw_uid
    except (KeyError, ValueError):
        return int(user) if user.isascii() and user.isdigit() and len(user) <= 10 else None


def _ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def _read(at: int | None, path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=at)
    try:
        return os.read(fd, 65536)
    finally:
        os.close(fd)


def _why(error: OSError) -> str:
    return error.strerror or type(error).__name__
