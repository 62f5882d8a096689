"""What was appended to a log since it was read last, whatever its owner does to it: rotation, truncation, a new file.

The file may be a hostile user's: below the base no link is followed, and only a regular file is read, which is no second
name of somebody else's.
"""

from __future__ import annotations

import errno
import os
import stat
import zlib
from dataclasses import dataclass

from runctl_agent.access import require_readable

from .marker_file import parent_of

FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

MOST_BEHIND = 8 * 1024 * 1024
"""Bytes unread from which on the older ones are left out: a log that outruns its sending does not fill the line."""

ROOM = 4096
"""Bytes that have to be read at once for that, so that what says so fits."""

KEPT = 1024 * 1024
"""Bytes at the end that are read then."""

MARK = 256
"""Bytes before a place that tell whether the file is still the one that was read: an inode is used again, what was cut grows."""

ROTATED = ".1"
"""What rotation makes of a log first: logrotate(8), and Python's RotatingFileHandler."""


@dataclass(frozen=True, slots=True)
class Place:
    """How far a file was read: its inode, the offset in it, and the CRC-32 of the last `MARK` bytes before that."""

    inode: int
    offset: int
    mark: int = 0


class Tail:
    """One log. `place` is how far it was read; `problem`: why the last look could not, empty if it could."""

    def __init__(self, base: str, path: str, place: Place | None = None, *, lines: bool = False) -> None:
        """`place`: where an earlier reader stopped. `path` is absolute, or relative to `base`. `lines`: only whole ones."""
        self._base = base
        self._path = path
        self._lines = lines
        self._fd: int | None = None
        self._within_a_line = False
        self.place = place
        self.problem = ""

    def read(self, most: int) -> bytes:
        """The next bytes, at most so many; empty where nothing is new. What can't be read is a `problem`, and tried again."""
        self.problem = ""
        try:
            return self._read(most)
        except FileNotFoundError:
            return b""
        except (OSError, ValueError) as error:
            self.problem = f"{self._path} can't be read: {getattr(error, 'strerror', None) or error}"
            self.close()
            return b""

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _read(self, most: int) -> bytes:
        if self._fd is None:
            self._fd = self._opened()
        replaced = self._replaced(self._fd)  # asked first: what came in between is still read from the old one
        text = self._next(self._fd, most)
        if replaced and not text:
            self.close()
            self._fd = self._opened()
            text = self._next(self._fd, most)
        if not text and os.fstat(self._fd).st_nlink == 0:
            self.close()  # deleted, and read to its end: its space is not held
        return text

    def _opened(self) -> int:
        """What is to be read next: the rest of one that was rotated meanwhile, else what stands at the path."""
        name = os.path.basename(self._path)
        with parent_of(self._base, self._path) as parent:
            return self._rest(parent, name) or _open(parent, name)

    def _rest(self, parent: int, name: str) -> int | None:
        if self.place is None or self.place.offset == 0 or _inode(parent, name) == self.place.inode:
            return None
        if _inode(parent, name + ROTATED) != self.place.inode:
            return None
        fd = _open(parent, name + ROTATED)
        if _stands(fd, self.place) and os.fstat(fd).st_size > self.place.offset:
            return fd
        os.close(fd)
        return None

    def _next(self, fd: int, most: int) -> bytes:
        place = self._begun(fd)
        size = os.fstat(fd).st_size
        offset = _read_from(fd, place.offset, size)
        if offset is None:
            return b""
        said = b"\n" if place.offset == 0 and self._within_a_line else b""
        if offset > place.offset and most > ROOM:
            said = b"\n[%d bytes of this log were left out here]\n" % (offset - place.offset)
        else:
            offset = place.offset
        text = os.pread(fd, max(0, most - len(said)), offset)
        if self._lines and (b"\n" in text or len(text) < most):
            text = text[: text.rfind(b"\n") + 1]
        if not text:
            return b""
        self._within_a_line = not text.endswith(b"\n")
        self.place = Place(place.inode, offset + len(text), _mark(fd, offset + len(text)))
        return said + text

    def _begun(self, fd: int) -> Place:
        """Where to go on in this file: at its beginning, if it is another than the one that was read."""
        if self.place is None or not _stands(fd, self.place):
            self.place = Place(os.fstat(fd).st_ino, 0)
        return self.place

    def _replaced(self, fd: int) -> bool:
        """Whether another file stands at the path, with something in it: beside an empty one the old one still grows."""
        try:
            with parent_of(self._base, self._path) as parent:
                standing = os.stat(os.path.basename(self._path), dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return False
        own = os.fstat(fd)
        if (standing.st_dev, standing.st_ino) == (own.st_dev, own.st_ino):
            return False
        return standing.st_size > 0 or not stat.S_ISREG(standing.st_mode)


def _open(parent: int, name: str) -> int:
    """Raises OSError, ValueError for what is not to be read."""
    fd = os.open(name, FLAGS, dir_fd=parent)
    status = os.fstat(fd)
    why = ""
    try:
        require_readable(parent, fd, name)
    except OSError:
        os.close(fd)
        raise
    if not stat.S_ISREG(status.st_mode):
        why = "it is not a regular file"
    elif status.st_nlink > 1 and status.st_uid != os.fstat(parent).st_uid:
        why = "it has a second name, and another owner than its directory"  # whoever made that name may not be allowed to read it
    if why:
        os.close(fd)
        raise ValueError(why)
    return fd


def _inode(parent: int, name: str) -> int | None:
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False).st_ino
    except FileNotFoundError:
        return None


def _stands(fd: int, place: Place) -> bool:
    """Whether what was read of the file is still there, as far as can be told."""
    status = os.fstat(fd)
    return status.st_ino == place.inode and status.st_size >= place.offset and _mark(fd, place.offset) == place.mark


def _mark(fd: int, offset: int) -> int:
    length = min(MARK, offset)
    return zlib.crc32(os.pread(fd, length, offset - length)) if length else 0


def _read_from(fd: int, offset: int, size: int) -> int | None:
    """Where the next byte is that is to be read: neither too far behind nor in a hole. None: nothing is there."""
    if size <= offset:
        return None
    at = size - KEPT if size - offset > MOST_BEHIND else offset
    try:
        return os.lseek(fd, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None  # what follows is one hole: room made beforehand
        if error.errno == errno.EINVAL:
            return at  # a file system that does not know where holes are
        raise
