"""Inodes: without one no file can be made, however much room a disk has."""

from __future__ import annotations

import os


def none_left(path: str) -> bool:
    """Whether no file can be made on the file system of `path`. False where there is no such path (statvfs(3))."""
    try:
        disk = os.statvfs(path)
    except OSError:
        return False
    return disk.f_files > 0 and disk.f_favail == 0  # a file system that makes them as it goes has none at all (btrfs)
