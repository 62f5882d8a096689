"""What was appended to a log since it was read last, whatever its owner does to it: rotation, truncation, a new file.

The file may be a hostile user's: below the base no link is followed, and only a regular file is read.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from .marker_file import parent_of

FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

MOST_BEHIND = 8 * 1024 * 1024
"""Bytes unread from which on the older ones are left out: a log that outruns its sending does not fill the line."""

ROOM = 4096
"""Bytes that have to be read at once for that, so that what says so fits."""

KEPT = 1024 * 1024
"""Bytes at the end that are read then."""


@dataclass(frozen=True, slots=True)
class Place:
    """How far a file was read: its inode, and the offset in it."""

    inode: int
    offset: int


class Tail:
    """One log. `place` is how far it was read; `problem`: why the last look could not, empty if it could."""

    def __init__(self, base: str, path: str, place: Place | None = None) -> None:
        """`place`: where an earlier reader stopped. `path` is absolute, or relative to `base`."""
        self._base = base
        self._path = path
        self._fd: int | None = None
        self.place = place
        self.problem = ""

    def read(self, most: int) -> bytes:
        """The next bytes, at most so many; empty where there is nothing new."""
        self.problem = ""
        try:
            if self._fd is not None:
                text = self._next(self._fd, most)
                if text or not self._replaced(self._fd):
                    return text
                self.close()
            self._open()
        except FileNotFoundError:
            return b""
        except (OSError, ValueError) as error:
            self.problem = f"{self._path} can't be read: {getattr(error, 'strerror', None) or error}"
            return b""
        return b"" if self._fd is None else self._next(self._fd, most)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self) -> None:
        with parent_of(self._base, self._path) as parent:
            fd = os.open(os.path.basename(self._path), FLAGS, dir_fd=parent)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            self.problem = f"{self._path} is not a regular file"
            return
        self._fd = fd
        if self.place is None or self.place.inode != status.st_ino or self.place.offset > status.st_size:
            self.place = Place(status.st_ino, 0)

    def _next(self, fd: int, most: int) -> bytes:
        status = os.fstat(fd)
        offset = self.place.offset if self.place is not None else 0
        if status.st_size < offset:
            offset = 0  # cut, and written anew
        behind, said = status.st_size - offset, b""
        if behind > MOST_BEHIND and most > ROOM:
            said = b"\n[%d bytes of this log were left out here]\n" % (behind - KEPT)
            offset = status.st_size - KEPT
        text = os.pread(fd, max(0, most - len(said)), offset)
        self.place = Place(status.st_ino, offset + len(text))
        return said + text if text else b""

    def _replaced(self, fd: int) -> bool:
        """Whether another file stands at the path now; the old one was read to its end."""
        try:
            with parent_of(self._base, self._path) as parent:
                standing = os.stat(os.path.basename(self._path), dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return False
        own = os.fstat(fd)
        return (standing.st_dev, standing.st_ino) != (own.st_dev, own.st_ino)
