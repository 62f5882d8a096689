"""What somebody may open by themselves. The agent reads as root where others write: it must not read for them what they can't.

Nothing below a watched directory is a link that is followed; two ways are left to lead it astray. The directory itself may be
replaced by a link: one that is not root's is followed only to where its owner may go. And a file of somebody else's may get a
second name there, or be moved there: it is read only where the directory's owner may read it (path_resolution(7), inode(7)).
Access control lists and capabilities don't count.
"""

from __future__ import annotations

import errno
import os
import pwd
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

READ, WRITE, SEARCH = 4, 2, 1
ROOT = 0
NOBODY = 65534
"""The overflow uid (user_namespaces(7))."""

LINKS = 40
"""As many as the kernel follows (path_resolution(7))."""

KNOWN = 64
"""Paths remembered at most."""

_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class Astray(PermissionError):
    """A link leads to where its owner may not go, or a file is none that the owner of its directory may read."""


@dataclass(frozen=True, slots=True)
class Access:
    """Of the user `uid`, who is in `groups`."""

    uid: int
    groups: frozenset[int]

    def may(self, found: os.stat_result, want: int) -> bool:
        """Whether all of `want` is allowed. An owner may always: nobody keeps them from a chmod."""
        if self.uid in (ROOT, found.st_uid):
            return True
        return (found.st_mode >> (3 if found.st_gid in self.groups else 0)) & want == want


@lru_cache(maxsize=64)
def access_of(uid: int) -> Access:
    """One who is not in the user database is in no group."""
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return Access(uid, frozenset())
    return Access(uid, frozenset(os.getgrouplist(user.pw_name, user.pw_gid)))


def open_way(path: str) -> int:
    """Open the directory at an absolute path for reading, links included that lead nobody astray. Raises OSError, Astray."""
    with _way(path) as (fd, owners):
        _require(fd, owners, READ | SEARCH, path)
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)


@contextmanager
def way(path: str) -> Iterator[int]:
    """As `open_way`, but only to reach what lies in the directory; the same one again costs little."""
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if os.geteuid() == ROOT:
            _recognise(path, fd)
        yield fd
    finally:
        os.close(fd)


def require_readable(directory: int, file: int, shown: str) -> None:
    """Raises Astray where `file`, open in `directory`, is none that whoever put it there may read."""
    if os.geteuid() != ROOT:
        return
    holder, found = os.fstat(directory), os.fstat(file)
    if holder.st_uid == ROOT:  # root's own, unless everybody may put something into it
        allowed = not holder.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or found.st_uid != ROOT or bool(found.st_mode & stat.S_IROTH)
    else:
        allowed = access_of(holder.st_uid).may(found, READ)
    if not allowed:
        who = holder.st_uid or "anybody"
        raise Astray(errno.EACCES, f"it is a file of user {found.st_uid}, which the directory's user {who} may not read", shown)


@contextmanager
def _way(path: str) -> Iterator[tuple[int, list[Access]]]:
    """The last component's descriptor, and whose links led there. Every directory on the way is one that these may search."""
    os.access(os.path.join(path, "."), os.F_OK)  # what is mounted on demand is: O_PATH alone asks for no mount (open(2))
    left = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    owners: list[Access] = []
    trail = [os.open("/", _LOOK | os.O_DIRECTORY)]
    try:
        followed = 0
        while left:
            part = left.pop()
            _require(trail[-1], owners, SEARCH, path)
            if part == "..":
                _require_directory(trail[-1], path)
                if len(trail) > 1:
                    os.close(trail.pop())
                continue
            fd = os.open(part, _LOOK, dir_fd=trail[-1])
            found = os.fstat(fd)
            if not stat.S_ISLNK(found.st_mode):
                trail.append(fd)
                continue
            try:
                target = os.readlink("", dir_fd=fd)
            finally:
                os.close(fd)
            followed += 1
            if followed > LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if (owner := _planter(found, os.fstat(trail[-1]))) != ROOT:
                owners.append(access_of(owner))
            if target.startswith("/"):
                while len(trail) > 1:
                    os.close(trail.pop())
            left += [step for step in reversed(target.split("/")) if step not in ("", ".")]
        _require_directory(trail[-1], path)
        yield trail[-1], owners
    finally:
        for fd in trail:
            os.close(fd)


_known: dict[str, tuple[int, ...]] = {}
"""Directories that no link leads astray to, by the path: looked at again once something else is there."""


def _recognise(path: str, fd: int) -> None:
    found = _identity(fd)
    if _known.get(path) == found:
        return
    with _way(os.path.abspath(path)) as (reached, owners):
        _require(reached, owners, SEARCH, path)
        if _identity(reached) != found:
            raise FileNotFoundError(errno.ENOENT, "it was replaced meanwhile", path)
    if len(_known) >= KNOWN:
        _known.clear()
    _known[path] = found


def _identity(fd: int) -> tuple[int, ...]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino, found.st_uid, found.st_gid, found.st_mode


def _planter(link: os.stat_result, directory: os.stat_result) -> int:
    """Who may have put the link there: its owner, or who may have moved root's own."""
    if link.st_uid != ROOT:
        return link.st_uid
    if directory.st_uid != ROOT:
        return directory.st_uid
    anybody = directory.st_mode & stat.S_IWOTH and not directory.st_mode & stat.S_ISVTX
    return NOBODY if anybody else ROOT


def _require_directory(fd: int, path: str) -> None:
    if not stat.S_ISDIR(os.fstat(fd).st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)


def _require(fd: int, owners: Sequence[Access], want: int, path: str) -> None:
    if not owners or os.geteuid() != ROOT:  # whoever is not root is kept out by the kernel
        return
    found = os.fstat(fd)
    for owner in owners:
        if not owner.may(found, want):
            raise Astray(errno.EACCES, f"a symbolic link of user {owner.uid} leads where that user may not go", path)
