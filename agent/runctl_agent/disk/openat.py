"""Opening below directories that a hostile user may be changing: component by component, never through a symbolic link."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from runctl_agent.access import require_readable
from runctl_agent.errors import WrongStateError
from runctl_agent.records import FileId

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# A fifo put in a file's place would block the open for ever without O_NONBLOCK.
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


def file_id(status: os.stat_result) -> FileId:
    return FileId(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def parts(relative: str) -> list[str]:
    """The components of a path below something. Raises WrongStateError for one that could lead elsewhere."""
    found = relative.split("/")
    if any(part in {"", ".", ".."} or "\0" in part for part in found):
        raise WrongStateError(f"{relative!r} is not used as a path", "it is empty, absolute or leads out of its directory")
    return found


@contextmanager
def opened(fd: int) -> Iterator[int]:
    """Close `fd` at the end."""
    try:
        yield fd
    finally:
        os.close(fd)


def open_directory(path: str) -> int:
    """Open an absolute directory whose path holds no links (as `os.path.realpath` gives it)."""
    if not os.path.isabs(path):
        raise WrongStateError(f"{path!r} is not used as a directory", "it is not absolute")
    return _descend(os.open("/", os.O_PATH | os.O_DIRECTORY), [part for part in path.split("/") if part])


def open_below(base: int, relative: str) -> int:
    """Open a directory below `base`."""
    return _descend(os.dup(base), parts(relative))


def open_file(base: int, relative: str) -> int:
    """Open a regular file below `base` for reading. Raises OSError; FileNotFoundError for what is no regular file, Astray."""
    *above, name = parts(relative)
    with opened(_descend(os.dup(base), above)) as parent, ExitStack() as on_error:
        fd = os.open(name, FILE, dir_fd=parent)
        on_error.callback(os.close, fd)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise FileNotFoundError(f"{relative!r} is not a regular file")
        require_readable(parent, fd, relative)
        on_error.pop_all()
    return fd


def make_below(base: int, names: list[str]) -> int:
    """Open a directory below `base`, making what is missing with mode 0700."""
    fd = os.dup(base)
    for name in names:
        with opened(fd):
            try:
                os.mkdir(name, 0o700, dir_fd=fd)
            except FileExistsError:
                pass
            below = os.open(name, DIRECTORY, dir_fd=fd)
        fd = below
    return fd


def _descend(fd: int, names: list[str]) -> int:
    """Follow `names` down from `fd`, which is closed; only the last directory needs to be readable."""
    for name in names[:-1]:
        with opened(fd):
            below = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
        fd = below
    with opened(fd):
        return os.open(names[-1] if names else ".", DIRECTORY, dir_fd=fd)
