"""Finished checkpoints made from what lies on disk, and trees to compare."""

from __future__ import annotations

import os
from pathlib import Path

from runctl_agent.records import IN_PLACE, FileEntry, FileId, Finished, Kind

OLD = 1_700_000_000_123_456_789
"""A modification time long past, in nanoseconds."""


def write(path: Path, content: bytes, mtime_ns: int = OLD) -> None:
    """Write a file as a trainer did long ago; an existing one is rewritten in place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, ns=(mtime_ns, mtime_ns))


def finished(root: Path, name: str, kind: Kind = Kind.FILE) -> Finished:
    """The checkpoint `name` as it lies in `root` now."""
    if kind in IN_PLACE:
        paths = [name]
    else:
        paths = [
            os.path.relpath(os.path.join(directory, file), root / name)
            for directory, _, files in os.walk(root / name)
            for file in files
        ]
    base = root if kind in IN_PLACE else root / name
    entries = tuple(FileEntry(path, identity(base / path)) for path in sorted(paths))
    return Finished(str(root), name, kind, step=1, weights=True, complete=True, files=entries, at=0.0)


def identity(path: Path) -> FileId:
    status = os.stat(path, follow_symlinks=False)
    return FileId(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def tree(directory: Path) -> dict[str, tuple[int, int]]:
    """Every directory and file below, with inode and modification time."""
    found: dict[str, tuple[int, int]] = {}
    for above, directories, files in os.walk(directory):
        for name in (".", *directories, *files):
            path = os.path.normpath(os.path.join(above, name))
            status = os.lstat(path)
            found[path] = (status.st_ino, status.st_mtime_ns)
    return found
