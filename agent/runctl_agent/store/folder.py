"""Making and opening files below a directory descriptor, following no symbolic link."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
BELOW = DIRECTORY | os.O_NOFOLLOW


class Owner(NamedTuple):
    """Whom restored files belong to, where root restores for a user."""

    uid: int
    gid: int


def make_directory(name: str, parent: int, owner: Owner | None) -> int:
    """Create a directory and return its descriptor. Raises FileExistsError."""
    os.mkdir(name, dir_fd=parent)
    fd = os.open(name, BELOW, dir_fd=parent)
    if owner is not None:
        os.fchown(fd, *owner)
    return fd


@contextmanager
def parent_of(path: str, root: int, *, create: bool = False, owner: Owner | None = None) -> Iterator[tuple[int, str]]:
    """The descriptor of the directory that holds `path`, relative to `root`, and the last name."""
    *above, name = path.split("/")
    here = os.dup(root)
    try:
        for part in above:
            below = _enter(part, here, create, owner)
            os.close(here)
            here = below
        yield here, name
    finally:
        os.close(here)


def _enter(part: str, parent: int, create: bool, owner: Owner | None) -> int:
    if create:
        with suppress(FileExistsError):
            return make_directory(part, parent, owner)
    return os.open(part, BELOW, dir_fd=parent)


def create_file(path: str, root: int, owner: Owner | None) -> int:
    """A new file, and the directories above it. Raises FileExistsError, NotADirectoryError."""
    with parent_of(path, root, create=True, owner=owner) as (parent, name):
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=parent)
    if owner is not None:
        os.fchown(fd, *owner)
    return fd


def open_regular(path: str, root: int) -> int | None:
    """A regular file for reading; None if `path` is anything else, or nothing."""
    try:
        with parent_of(path, root) as (parent, name):
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    return None


def files_below(name: str, root: int) -> set[str]:
    """Everything below the directory `name` that is not a directory, relative to it."""
    found: set[str] = set()
    for folder, directories, files, fd in os.fwalk(name, dir_fd=root):
        inside = folder[len(name) + 1 :]
        found.update(os.path.join(inside, file) for file in files)
        for directory in directories:
            if stat.S_ISLNK(os.stat(directory, dir_fd=fd, follow_symlinks=False).st_mode):
                found.add(os.path.join(inside, directory))
    return found


def sync_tree(root: int) -> None:
    """fsync every directory from `root` down; the files are synced as they are written."""
    for _, _, _, fd in os.fwalk(".", dir_fd=root, topdown=False):
        os.fsync(fd)


def empty(root: int) -> None:
    """Remove everything below a directory, by its descriptor."""
    with os.scandir(root) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        if is_directory:
            fd = os.open(name, BELOW, dir_fd=root)
            try:
                empty(fd)
            finally:
                os.close(fd)
            os.rmdir(name, dir_fd=root)
        else:
            os.unlink(name, dir_fd=root)
