"""Whether the training's log says that it is done: a regular expression over what was appended since the first look."""

from __future__ import annotations

import os
import re
import stat

TAIL = 65536
"""Bytes at the end of the log that are searched; a line of more is cut."""


class LogLine:
    """One log file, watched for one pattern. Without a pattern it never reads."""

    def __init__(self, path: str, pattern: str, *, begins_at: int | None = None) -> None:
        self._path = path
        self._pattern = re.compile(pattern.encode()) if pattern else None
        self.begins_at = begins_at
        self._searched = -1

    def found(self) -> bool:
        """One look; what stood there at the first look does not count, unless the file was cut since."""
        if self._pattern is None:
            return False
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            self.begins_at = 0 if self.begins_at is None else self.begins_at
            return False
        try:
            return self._search(fd, self._pattern)
        finally:
            os.close(fd)

    def _search(self, fd: int, pattern: re.Pattern[bytes]) -> bool:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return False
        if self.begins_at is None:
            self.begins_at = status.st_size
        if status.st_size < self.begins_at:
            self.begins_at = 0
        if status.st_size == self._searched:
            return False
        self._searched = status.st_size
        start = max(self.begins_at, status.st_size - TAIL)
        return any(pattern.search(line) for line in os.pread(fd, TAIL, start).splitlines())
