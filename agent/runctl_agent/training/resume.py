"""What a training is to resume from, and whether that is still what was verified: asked at its very start."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from runctl_agent.errors import WrongStateError
from runctl_agent.records import FileEntry, FileId, signature


class ResumeLost(WrongStateError):
    """It is gone, or not what was verified: nothing was started, and it can be restored again."""


@dataclass(frozen=True, slots=True)
class Resume:
    """`path` is for RUNCTL_RESUME_FROM, empty: there is nothing. `files` are below `base`; `signature` is `records.signature`."""

    path: str = ""
    base: str = ""
    files: tuple[str, ...] = ()
    signature: str = ""

    def check(self) -> None:
        """Raises ResumeLost. Content that was changed shows in a file's inode, size or time: nothing is read again."""
        if not self.path:
            return
        try:
            found = signature(_entry(self.base, path) for path in self.files)
        except OSError as error:
            raise self._lost(f"{error.strerror} ({error.filename})") from error
        if found != self.signature:
            raise self._lost("it was changed after it had been verified")

    def _lost(self, why: str) -> ResumeLost:
        return ResumeLost(
            f"{self.path} is not resumed from",
            why,
            "see what else writes there, such as what setup left running; then runctl resume",
        )


NOTHING = Resume()


def _entry(base: str, path: str) -> FileEntry:
    at = os.stat(os.path.join(base, path), follow_symlinks=False)
    if not stat.S_ISREG(at.st_mode):
        raise FileNotFoundError(2, "No regular file", os.path.join(base, path))
    return FileEntry(path, FileId(at.st_dev, at.st_ino, at.st_size, at.st_mtime_ns))
