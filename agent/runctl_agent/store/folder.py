"""Making and opening files below a directory descriptor, following no symbolic link."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
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


def open_file(path: str, root: int, owner: Owner | None) -> tuple[int, bool]:
    """A file for reading and writing, made if need be with the directories above it; and whether it was there.

    Raises OSError, also where it is a link.
    """
    with parent_of(path, root, create=True, owner=owner) as (parent, name):
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(name, flags | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=parent)
        except FileExistsError:
            return os.open(name, flags, dir_fd=parent), True
    if owner is not None:
        os.fchown(fd, *owner)
    return fd, False


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


def empty(root: int, keep: Callable[[str], bool] = lambda name: False) -> None:
    """Remove everything below a directory, by its descriptor, but the entries whose name `keep` names."""
    with os.scandir(root) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries if not keep(entry.name)]
    for name, is_directory in found:
        remove(name, root, is_directory=is_directory)


def remove(name: str, parent: int, *, is_directory: bool) -> None:
    """One entry, with everything below it."""
    if not is_directory:
        os.unlink(name, dir_fd=parent)
        return
    fd = os.open(name, BELOW, dir_fd=parent)
    try:
        empty(fd)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=parent)
