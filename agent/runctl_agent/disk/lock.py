"""Lock files: the agent's own, one per checkpoint, and the trainer's `<name>.lock` beside a checkpoint (flock(2))."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import stat
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

from filelock import BaseFileLock, FileLock, Timeout

from runctl_agent.boot import boot_id as this_boot
from runctl_agent.errors import WrongStateError

log = logging.getLogger(__name__)

LONGEST_NAME = 255  # bytes, on every Linux file system
DIRECTORY_MODE = 0o755  # the trainer may look
ATTEMPTS = 3
"""How often a lock whose file was replaced meanwhile is tried for."""


def default_runtime_dir(state_dir: str, *, uid: int, environ: Mapping[str, str]) -> str:
    """Where what must not outlive a boot lies; systemd names it where the unit has RuntimeDirectory= (systemd.exec(5))."""
    if given := environ.get("RUNTIME_DIRECTORY"):
        return given.partition(":")[0]
    if uid == 0:
        return "/run/runctl"
    if user_dir := environ.get("XDG_RUNTIME_DIR"):
        return os.path.join(user_dir, "runctl")
    return state_dir


def lock_file_name(path: str) -> str:
    """`<name>-<key>.lock` for the checkpoint at the full path `path`; the name is cut where the whole would be too long."""
    whole = os.fsencode(path)
    end = f"-{hashlib.sha256(whole).hexdigest()[:16]}.lock"
    name = os.path.basename(whole)[: LONGEST_NAME - len(end)]
    return os.fsdecode(name) + end


@dataclass(frozen=True, slots=True)
class Holder:
    """Who took a lock last and did not give it back, as its file says; for people. `since` is wall-clock."""

    pid: int
    boot_id: str
    since: float
    purpose: str


class CheckpointLock:
    """A lock that is held until `release`, or until this process dies."""

    def __init__(self, path: str, lock: BaseFileLock, fd: int) -> None:
        self.path = path
        self._lock = lock
        self._fd = fd  # the lock's own descriptor

    def still_ours(self) -> bool:
        """Whether the path still leads to the file that is locked: not so after someone removed or replaced it."""
        if not self._lock.is_locked:
            return False
        try:
            there = os.stat(self.path, follow_symlinks=False)
        except OSError:  # removed, or hidden: either way not known to be ours
            return False
        here = os.fstat(self._fd)
        return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)

    def write(self, text: bytes) -> None:
        """Replace what the file says; it says it to people alone, so a disk that is full takes no lock away."""
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, text, 0)
        except OSError as error:
            log.debug("%s does not say who holds it: %s", self.path, error)

    def release(self) -> None:
        """The file stays, empty: removing it would let two processes lock two files of one name."""
        if self._lock.is_locked:
            try:
                self.write(b"")
            finally:
                self._lock.release()

    def __enter__(self) -> CheckpointLock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


class Locks:
    """The lock files of one directory, which is made if it is missing."""

    def __init__(self, directory: str, *, pid: int | None = None, boot_id: str | None = None) -> None:
        self.directory = directory
        self._pid = os.getpid() if pid is None else pid
        self._boot_id = this_boot() if boot_id is None else boot_id

    def acquire(self, root: str, name: str, purpose: str, since: float) -> CheckpointLock | None:
        """Lock the checkpoint `name` of the watched directory `root`; None while another holds it. Never waits."""
        path = self._path(root, name)
        try:
            self._prepare()
            lock = _flock(path)
        except OSError as error:
            raise WrongStateError(
                f"{path} can't be locked", error.strerror or str(error), f"remove it, if no runctl-agent runs: rm {path!r}"
            ) from error
        if lock is not None:
            lock.write(_encode(Holder(self._pid, self._boot_id, since, purpose)))
        return lock

    def holder(self, root: str, name: str) -> Holder | None:
        """What the lock file says; None if it says nothing. Says nothing of whether the lock is held."""
        try:
            fd = os.open(self._path(root, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            return _decode(os.read(fd, 4096))
        except OSError:
            return None
        finally:
            os.close(fd)

    def _path(self, root: str, name: str) -> str:
        return os.path.join(self.directory, lock_file_name(os.path.join(os.path.realpath(root), name)))

    def _prepare(self) -> None:
        os.makedirs(os.path.dirname(self.directory), exist_ok=True)
        try:
            os.mkdir(self.directory)
        except FileExistsError:
            pass
        status = os.lstat(self.directory)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            raise WrongStateError(
                f"{self.directory} is not used for locks",
                "it is not a directory of the agent's own user",
                f"remove it, and the agent makes it: rm -r {self.directory!r}",
            )
        if stat.S_IMODE(status.st_mode) != DIRECTORY_MODE:
            os.chmod(self.directory, DIRECTORY_MODE)


def trainer_lock_held(root_fd: int, name: str) -> bool:
    """Whether someone holds `<name>.lock` beside the checkpoint exclusively.

    Tested by a shared lock that is given back at once. /proc/locks would not touch the lock, but hides the holders of other
    pid namespaces and names devices otherwise than stat(2) on btrfs and overlayfs.
    """
    try:
        fd = os.open(name + ".lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=root_fd)
    except OSError:  # absent, a link, a name too long: nobody's lock
        return False
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return False
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no flock on this file system: then the trainer holds none either
        return False
    finally:
        os.close(fd)
    return False


def _flock(path: str) -> CheckpointLock | None:
    """Lock the file that `path` leads to when it is locked. Raises OSError."""
    for _ in range(ATTEMPTS):
        descriptors: list[int] = []
        lock = FileLock(
            path,
            timeout=0,
            mode=0o644,
            thread_local=False,
            fallback_to_soft=False,
            preserve_lock_file=True,
            on_acquired=descriptors.append,
        )
        try:
            lock.acquire()
        except Timeout:
            return None
        with ExitStack() as on_error:
            on_error.callback(lock.release)
            held = CheckpointLock(path, lock, descriptors[-1])
            if held.still_ours():
                on_error.pop_all()
                return held
    return None


def _encode(holder: Holder) -> bytes:
    fields = {"pid": holder.pid, "boot_id": holder.boot_id, "since": holder.since, "purpose": holder.purpose}
    return json.dumps(fields).encode() + b"\n"


def _decode(text: bytes) -> Holder | None:
    try:
        fields = json.loads(text)
        return Holder(int(fields["pid"]), str(fields["boot_id"]), float(fields["since"]), str(fields["purpose"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
