"""A directory checkpoint by the status of its files alone: nothing is opened but directories."""

from __future__ import annotations

import os

from .openat import DIRECTORY, opened

MAX_DEPTH = 32

Found = list[tuple[str, os.stat_result]]
"""Path in the checkpoint and status of every regular file."""


def glance(where: int, entry: str) -> Found | None:
    """The directory `entry` of `where`; None: something is in the way that only a thorough look can name."""
    found: Found = []
    try:
        _collect(where, entry, "", found, MAX_DEPTH)
    except OSError:
        return None
    return found


def _collect(where: int, entry: str, below: str, found: Found, depth: int) -> None:
    if depth < 0:
        raise NotADirectoryError(entry)
    directories = []
    with opened(os.open(entry, DIRECTORY, dir_fd=where)) as fd:
        with os.scandir(fd) as entries:
            for child in entries:
                if child.is_file(follow_symlinks=False):
                    found.append((below + child.name, child.stat(follow_symlinks=False)))
                elif child.is_dir(follow_symlinks=False):
                    directories.append(child.name)
        for name in directories:
            _collect(fd, name, f"{below}{name}/", found, depth - 1)
