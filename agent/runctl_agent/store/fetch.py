"""Bringing a checkpoint's files from S3 into a directory, each verified while it streams by."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial

from runctl_agent.contract.keys import Keys
from runctl_agent.contract.manifest import ManifestFile
from runctl_agent.errors import BadChecksum
from runctl_agent.runtime import Runtime, run_pool

from .check import Check
from .folder import Owner, create_file
from .objects import ObjectStore
from .retry import patiently

RANGE = 8 * 1024 * 1024
WIDTH = 4
"""Ranges in flight; RANGE * WIDTH bytes are the most that is held in memory."""

Range = tuple[str, int, int]
"""Key, offset, length."""


class Fetcher:
    def __init__(self, store: ObjectStore, keys: Keys, runtime: Runtime, owner: Owner | None = None) -> None:
        self._store = store
        self._keys = keys
        self._runtime = runtime
        self._owner = owner

    def fetch(self, files: Sequence[ManifestFile], tree: int) -> None:
        """Write every file below the directory `tree`, durable, with its mtime.

        Raises BadChecksum (a file is not what its manifest says), NotFoundError (an object is gone), StoreUnavailable,
        OSError.
        """
        ranges = [self._ranges(file) for file in files]
        bodies = self._bodies([one for many in ranges for one in many])
        for file, mine in zip(files, ranges, strict=True):
            fd = create_file(file.path, tree, self._owner)
            try:
                self._fill(fd, file, (next(bodies) for _ in mine))
            finally:
                os.close(fd)

    def _ranges(self, file: ManifestFile) -> list[Range]:
        key = self._keys.absolute(file.object)
        return [(key, offset, min(RANGE, file.size - offset)) for offset in range(0, file.size, RANGE)]

    def _bodies(self, ranges: Sequence[Range]) -> Iterator[bytes]:
        """The content of each range, in order; WIDTH of them are fetched side by side."""
        for first in range(0, len(ranges), WIDTH):
            batch = ranges[first : first + WIDTH]
            got: dict[Range, bytes] = {}
            run_pool(self._runtime, "restore", WIDTH, partial(self._get, got), batch)
            for one in batch:
                yield got.pop(one)

    def _get(self, got: dict[Range, bytes], wanted: Range) -> None:
        got[wanted] = patiently(self._runtime, lambda: self._store.get_range(*wanted))

    @staticmethod
    def _fill(fd: int, file: ManifestFile, bodies: Iterator[bytes]) -> None:
        check = Check(file)
        for body in bodies:
            check.update(body)
            _write_all(fd, body)
        if fault := check.fault():
            raise BadChecksum(f"{file.object} is not what its manifest says", fault)
        os.utime(fd, ns=(file.mtime_ns, file.mtime_ns))
        os.fsync(fd)


def _write_all(fd: int, body: bytes) -> None:
    left = memoryview(body)
    while left:
        left = left[os.write(fd, left) :]
