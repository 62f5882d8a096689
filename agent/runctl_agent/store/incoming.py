"""One file on its way from the store, filled portion by portion from several tasks."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager

from runctl_agent.contract.manifest import ManifestFile
from runctl_agent.errors import BadChecksum

from .check import Portion, Sum, portions, whole_fault
from .folder import Owner, open_file

CHUNK = 256 * 1024
"""Bytes that a task holds at a time: they stay in the processor's cache from the socket to the hash and the disk."""


class Incoming:
    """Open from its first portion to its last, however many files there are. `lock` is for this file alone."""

    def __init__(self, file: ManifestFile, tree: int, owner: Owner | None, lock: AbstractContextManager[object]) -> None:
        self.file = file
        self.portions = portions(file)
        self._tree = tree
        self._owner = owner
        self._lock = lock
        self._crcs: dict[int, int] = {}
        self._fd = -1
        self._reused = False

    def open(self) -> None:
        """Sparse, in its full size: what was not written is a hole. Every task that works on the file calls it."""
        with self._lock:
            if self._fd < 0:
                self._fd, self._reused = open_file(self.file.path, self._tree, self._owner)
                os.ftruncate(self._fd, self.file.size)

    def close(self) -> None:
        """After an error; else the last portion closes it."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def has(self, portion: Portion) -> bool:
        """Whether an earlier try, which was killed, wrote it already; by its digest, and never for a hole."""
        if not self._reused or self._hole(portion):
            return False
        found = read_sum(self._fd, portion)
        if found.fault(portion):
            return False
        self.arrived(portion, found.crc if portion.crc is None else portion.crc)
        return True

    def _hole(self, portion: Portion) -> bool:
        return portion.size > 0 and os.lseek(self._fd, portion.offset, os.SEEK_HOLE) < portion.offset + portion.size

    def write(self, data: bytes | memoryview, offset: int) -> None:
        left = memoryview(data)
        while left:
            count = os.pwrite(self._fd, left, offset)
            left, offset = left[count:], offset + count

    def arrived(self, portion: Portion, crc: int) -> None:
        """It stands on disk, verified; `crc` is that of its stored bytes. The last one makes the file durable.

        Raises BadChecksum: the whole is not what its manifest says; OSError.
        """
        with self._lock:
            self._crcs[portion.number] = crc
            last = len(self._crcs) == len(self.portions)
        if last:
            self._finish()

    def _finish(self) -> None:
        if fault := whole_fault(self.file, (self._crcs[portion.number] for portion in self.portions)):
            raise BadChecksum(f"{self.file.object} is not what its manifest says", fault)
        os.utime(self._fd, ns=(self.file.mtime_ns, self.file.mtime_ns))
        os.fsync(self._fd)
        self.close()


def read_sum(fd: int, portion: Portion) -> Sum:
    """Of what a file has in the place of `portion`."""
    found = Sum()
    while left := portion.size - found.size:
        data = os.pread(fd, min(CHUNK, left), portion.offset + found.size)
        if not data:
            break
        found.update(data)
    return found


def same(fd: int, file: ManifestFile) -> bool:
    """Whether an open file has the content that the manifest says."""
    if os.fstat(fd).st_size != file.size:
        return False
    crcs: list[int] = []
    for portion in portions(file):
        found = read_sum(fd, portion)
        if found.fault(portion):
            return False
        crcs.append(found.crc if portion.crc is None else portion.crc)
    return not whole_fault(file, crcs)
