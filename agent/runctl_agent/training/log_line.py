"""Whether the training's log says that it is done: a regular expression over what was appended since the first look."""

from __future__ import annotations

import os
import re
import stat

from runctl_agent.access import require_readable

from .marker_file import parent_of

TAIL = 65536
"""Bytes at the end of the log that are searched; a line of more is cut."""


class LogLine:
    """One log file, watched for one pattern. Without a pattern it never reads.

    `path` is absolute, or relative to `base`, below which no symbolic link is followed. `begins_at` is where what counts begins;
    None while it was never seen. `problem`: why the last look could not read it, one sentence; empty if it could.
    """

    def __init__(self, path: str, pattern: str, *, base: str = "/", begins_at: int | None = None) -> None:
        self._path = path
        self._base = base
        self._pattern = re.compile(pattern.encode()) if pattern else None
        self._searched = -1
        self.begins_at = begins_at
        self.problem = ""

    def found(self) -> bool:
        """One look; what stood there at the first look does not count, unless the file was cut since."""
        if self._pattern is None:
            return False
        self.problem = ""
        try:
            with parent_of(self._base, self._path) as parent:
                return self._look(parent, self._pattern)
        except FileNotFoundError:
            self.begins_at = 0 if self.begins_at is None else self.begins_at
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else None
            self.problem = f"{self._path} can't be read: {why or error}"
        return False

    def _look(self, parent: int, pattern: re.Pattern[bytes]) -> bool:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        fd = os.open(os.path.basename(self._path), flags, dir_fd=parent)
        try:
            require_readable(parent, fd, self._path)
            return self._search(fd, pattern)
        finally:
            os.close(fd)

    def _search(self, fd: int, pattern: re.Pattern[bytes]) -> bool:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            self.problem = f"{self._path} is not a regular file"
            return False
        if self.begins_at is None:
            self.begins_at = status.st_size
        if status.st_size < self.begins_at:
            self.begins_at = 0
        if status.st_size == self._searched:
            return False
        start = max(self.begins_at, status.st_size - TAIL)
        text = os.pread(fd, TAIL, start)
        self._searched = status.st_size
        return any(pattern.search(line) for line in text.splitlines())
