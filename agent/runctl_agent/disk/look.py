"""One look at one file of a checkpoint, and the memory that spares the next one.

A file that is not being written is opened a few times after each change, then known by its identity alone.
"""

from __future__ import annotations

import errno
import os
import pwd
import stat
from collections.abc import Collection
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from runctl_agent.access import Astray, require_readable
from runctl_agent.errors import WrongStateError
from runctl_agent.records import FileReading, Proof, Writer

from . import formats, lease
from .glance import Found
from .openat import FILE, file_id, opened

_LOOKS = 4  # covers the granularity's wait and the quiet time, when a writer may still come back
GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE, errno.ENXIO})
"""What the open of an entry says that was removed, or replaced by a link or a fifo, since it was listed."""


@dataclass(slots=True)
class _Known:
    reading: FileReading
    step: int | None
    looks: int


class Looker:
    """Looks at files below one watched directory. Keys are paths relative to it."""

    def __init__(self, root: str, *, leases: bool) -> None:
        self._root = root
        self._leases = leases
        self._known: dict[str, dict[str, _Known]] = {}

    def look(self, candidate: str, path: str, where: int, name: str, shown: str) -> FileReading | None:
        """Look at the file `name` in the directory `where`; None: it is gone, or no regular file.

        `path` is its path in the checkpoint, `shown` relative to the watched directory. Raises WrongStateError.
        """
        try:
            found = os.stat(name, dir_fd=where, follow_symlinks=False)
        except OSError as error:
            self._raise_unless_gone(error, shown)
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        if self.settled(candidate, path, found):
            return self._known[candidate][path].reading
        try:
            fd = os.open(name, FILE, dir_fd=where)
        except OSError as error:
            self._raise_unless_gone(error, shown)
            return None
        with opened(fd):
            self._require_readable(where, fd, shown)
            fresh = self._examine(fd, path, self._known.get(candidate, {}).get(path))
        if fresh is None:
            return None
        self._known.setdefault(candidate, {})[path] = fresh
        return fresh.reading

    def settled(self, candidate: str, path: str, found: os.stat_result) -> bool:
        """Whether another look would show what the last one did."""
        known = self._known.get(candidate, {}).get(path)
        return known is not None and _as_known(known, found)

    def unchanged(self, candidate: str, found: Found) -> bool:
        """Whether these are the candidate's files, and another look at each would show what the last one did."""
        known = self._known.get(candidate, {})
        return len(known) == len(found) and all((of := known.get(path)) and _as_known(of, status) for path, status in found)

    def settles(self, candidate: str) -> bool:
        """Whether all its files were looked at as often as there is need."""
        return all(known.looks >= _LOOKS for known in self._known.get(candidate, {}).values())

    def assume(self, candidate: str, found: Found) -> list[FileReading]:
        """Take files for known that were looked at in an earlier life: all that is asked of them is whether they change."""
        readings = [FileReading(path, file_id(status), Proof.UNKNOWN, Writer.UNKNOWN, False) for path, status in sorted(found)]
        self._known[candidate] = {reading.path: _Known(reading, None, _LOOKS) for reading in readings}
        return readings

    def doubt(self, candidate: str) -> None:
        """The candidate has changed: what was only assumed of its files is looked at."""
        for known in self._known.get(candidate, {}).values():
            if known.reading.proof is Proof.UNKNOWN and known.reading.writer is Writer.UNKNOWN:
                known.looks = 0

    def step(self, candidate: str, path: str) -> int | None:
        """What this JSON file said of its step when it was last looked at."""
        known = self._known.get(candidate, {}).get(path)
        return known.step if known else None

    def keep(self, candidate: str, paths: Collection[str]) -> None:
        """Forget the candidate's files that are not among `paths`."""
        files = self._known.get(candidate, {})
        for path in files.keys() - set(paths):
            del files[path]
        if not files:
            self._known.pop(candidate, None)

    def keep_candidates(self, names: AbstractSet[str]) -> None:
        """Forget the candidates that are not among `names`."""
        for name in self._known.keys() - names:
            del self._known[name]

    def _examine(self, fd: int, path: str, known: _Known | None) -> _Known | None:
        before = os.fstat(fd)
        if not stat.S_ISREG(before.st_mode):
            return None
        proof = formats.prove(path, fd, before.st_size)
        step = formats.step_from_json(fd, before.st_size) if path.endswith(".json") and proof is Proof.WHOLE else None
        holes = _has_holes(fd, before)
        writer = lease.writer_of(fd) if self._leases else Writer.UNKNOWN
        id_ = file_id(os.fstat(fd))
        if id_ != file_id(before):
            proof, writer = Proof.UNKNOWN, Writer.OPEN  # it changed while it was read
        settled = writer is not Writer.OPEN and proof is not Proof.BROKEN
        looks = known.looks + 1 if known is not None and known.reading.id == id_ else 1
        return _Known(FileReading(path, id_, proof, writer, holes), step, looks if settled else 0)

    def _require_readable(self, where: int, fd: int, shown: str) -> None:
        try:
            require_readable(where, fd, shown)
        except Astray as error:
            raise unreadable(f"{self._root}/{shown}", error) from error

    def _raise_unless_gone(self, error: OSError, shown: str) -> None:
        if error.errno not in GONE:
            raise unreadable(f"{self._root}/{shown}", error) from error


def _as_known(known: _Known, found: os.stat_result) -> bool:
    was = known.reading.id
    same = (was.mtime_ns, was.inode, was.size, was.device) == (found.st_mtime_ns, found.st_ino, found.st_size, found.st_dev)
    return same and known.looks >= _LOOKS


def unreadable(path: str, error: OSError) -> WrongStateError:
    """The error for a path that can't be read, with who can't read it and what mends it."""
    other = "root" if os.geteuid() else "the training's user"  # root may not where its capabilities are bounded, or on NFS
    mend = f"let the agent's user read it: chmod -R g+rX '{path}', with {_user()} in its group, or run the agent as {other}"
    if isinstance(error, Astray):
        mend = f"look at it: ls -la '{path}'; a directory elsewhere is named in the run spec, by root"
    elif error.errno == errno.EMFILE:
        mend = "raise LimitNOFILE of the agent's unit"
    elif error.errno not in (errno.EACCES, errno.EPERM):
        mend = f"look at it with: stat '{path}'; dmesg"
    return WrongStateError(f"user {_user()} cannot read {path}", error.strerror or str(error), mend)


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _has_holes(fd: int, found: os.stat_result) -> bool:
    """A hole is data not written yet, or never. Few blocks alone may be compression or data kept in the inode."""
    if found.st_blocks * 512 >= found.st_size:
        return False
    try:
        return os.lseek(fd, 0, os.SEEK_HOLE) < found.st_size
    except OSError:
        return True
