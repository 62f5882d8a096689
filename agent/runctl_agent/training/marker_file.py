"""One marker file, in a directory that a hostile user may be changing: looked at, written whole, set aside."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from runctl_agent.access import Astray, require_readable, way
from runctl_agent.errors import NotFoundError, RunctlError, WrongStateError
from runctl_agent.records import FileId, Writer
from runctl_agent.runtime import Runtime

LIMIT = 4096
"""Bytes of a marker that are read; what lies behind them changes only its identity."""

STILL = 50
"""Looks that showed the same before a file is believed by its status: longer than any clock's granularity (2 s on NFS)."""

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK  # a fifo would block the open for ever
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Look:
    """What one look showed. `id` is None where there is nothing; `problem`: why what is there was not read."""

    id: FileId | None = None
    owner: int | None = None  # uid
    body: bytes = b""
    writer: Writer = Writer.UNKNOWN
    problem: str = ""


def look_at(base: str, path: str) -> Look:
    """Look at `path`, relative to the directory `base` or absolute. Below `base` no symbolic link is followed."""
    try:
        with parent_of(base, path) as parent:
            return _look(parent, os.path.basename(path))
    except FileNotFoundError:
        return Look()
    except (OSError, ValueError) as error:
        return Look(problem=f"can't be read: {_why(error)}")


class Looker:
    """One look after another at the same path. What has stood still for long is told by its status alone, and not opened."""

    def __init__(self, base: str, path: str) -> None:
        self._base = base
        self._path = path
        # What lies deeper is reached component by component: a link may have come in between.
        self._direct = os.path.join(base, path) if path and ("/" not in path or os.path.isabs(path)) else ""
        self._last = Look()
        self._status: tuple[int, ...] | None = None
        self._still = 0

    def look(self) -> Look:
        """As `look_at`; the same object again where nothing has changed."""
        if not self._path:
            return self._last
        status = _status(self._direct) if self._direct else None
        if status == () and self._last == Look():
            return self._last
        if status and status == self._status and self._still >= STILL:
            return self._last
        found = look_at(self._base, self._path)
        same = found == self._last and status is not None and status == self._status
        # Why it can't be read need not be a matter of the file, whose status tells nothing of it then.
        sure = found.writer is not Writer.OPEN and not found.problem
        self._still = self._still + 1 if same and sure else 0
        self._last, self._status = found, status
        return found


def _status(path: str) -> tuple[int, ...] | None:
    """What changes with a file's content, or with what stands at its path; empty: nothing is there. None: it can't be told."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_mode, found.st_uid, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def write(base: str, path: str, body: bytes, runtime: Runtime, *, mode: int = 0o644) -> None:
    """Replace `path` with a file that has all of `body`, durably: readers see the old one or the new one. Raises RunctlError."""
    try:
        with parent_of(base, path) as parent:
            _replace(parent, os.path.basename(path), body, runtime.nonce(), mode)
    except (OSError, ValueError) as error:
        raise _translated(f"can't write {path}", base, path, error) from error


def set_aside(base: str, path: str) -> str | None:
    """Rename what is there to `<path>.stale-N`, N the first that is free; the new path, or None where there is nothing."""
    try:
        with parent_of(base, path) as parent:
            number = _rename(parent, os.path.basename(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _translated(f"can't set {path} aside", base, path, error) from error
    return None if number is None else f"{path}.stale-{number}"


@contextmanager
def parent_of(base: str, path: str) -> Iterator[int]:
    """The directory that `path` lies in; below `base` no symbolic link is followed, to it none that leads astray (access.py).

    Raises OSError, or ValueError for what can't be a path.
    """
    above = os.path.dirname(path)
    with way(above if os.path.isabs(path) else base) as start:
        fd = os.dup(start)
        try:
            for name in () if os.path.isabs(path) else [part for part in above.split("/") if part]:
                below = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
                os.close(fd)
                fd = below
            yield fd
        finally:
            os.close(fd)


def _look(parent: int, name: str) -> Look:
    there = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if not stat.S_ISREG(there.st_mode):
        return Look(_file_id(there), there.st_uid, problem=f"is {_kind(there.st_mode)}, not a regular file")
    try:
        fd = os.open(name, _READ, dir_fd=parent)
    except FileNotFoundError:
        return Look()
    except OSError as error:
        return Look(_file_id(there), there.st_uid, problem=f"can't be read: {_why(error)}")
    try:
        require_readable(parent, fd, name)
        return _read(fd)
    except Astray as error:
        return Look(_file_id(there), there.st_uid, problem=f"can't be read: {_why(error)}")
    finally:
        os.close(fd)


def _read(fd: int) -> Look:
    before = os.fstat(fd)
    if not stat.S_ISREG(before.st_mode):
        return Look(_file_id(before), before.st_uid, problem=f"is {_kind(before.st_mode)}, not a regular file")
    writer = _writer(fd)
    body = os.read(fd, LIMIT)
    after = os.fstat(fd)
    if _file_id(after) != _file_id(before):
        writer = Writer.OPEN
    return Look(_file_id(after), after.st_uid, body, writer)


def _writer(fd: int) -> Writer:
    """Whether anyone has it open for writing: a momentary read lease (fcntl(2), F_SETLEASE). Needs its owner, or CAP_LEASE."""
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)  # the default, SIGIO, would end this process
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return Writer.OPEN if error.errno == errno.EAGAIN else Writer.UNKNOWN
    return Writer.NONE


def _replace(parent: int, name: str, body: bytes, nonce: str, mode: int) -> None:
    temporary = f".runctl-{nonce}.tmp"  # not derived from the name, which may have all of its 255 bytes already
    fd = os.open(temporary, _WRITE, mode, dir_fd=parent)
    try:
        try:
            with open(fd, "wb", closefd=False) as file:
                file.write(body)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        os.unlink(temporary, dir_fd=parent)
        raise
    _sync_directory(parent)


def _sync_directory(parent: int) -> None:
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _rename(parent: int, name: str) -> int | None:
    if not _is_there(parent, name):
        return None
    number = 1
    while _is_there(parent, f"{name}.stale-{number}"):
        number += 1
    os.rename(name, f"{name}.stale-{number}", src_dir_fd=parent, dst_dir_fd=parent)
    return number


def _is_there(parent: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _file_id(status: os.stat_result) -> FileId:
    return FileId(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    return "a directory" if stat.S_ISDIR(mode) else "a special file"


def _translated(what: str, base: str, path: str, error: OSError | ValueError) -> RunctlError:
    folder = os.path.dirname(os.path.join(base, path))
    if isinstance(error, FileNotFoundError):
        return NotFoundError(what, f"there is no directory {folder}", f"mkdir -p {folder}")
    return WrongStateError(what, _why(error), f"make {folder} a directory that this user may write to")


def _why(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
