"""The hidden directory that a restore fills, beside what it will be renamed to.

It is named by its manifest and locked while its restore lives, so that the next restore of the same checkpoint goes on
with what a killed one left, and what is left of any other is removed. It is closed to everybody else, also to the user
whom the files in it belong to, and everything in it is reached by descriptor.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from runctl_agent.contract.manifest import Manifest

from .folder import BELOW, Owner, empty, make_directory, remove

PREFIX = ".runctl-restore-"
TREE = "tree"

RACES = 10
"""How often the directory may vanish between two calls: another restore sweeps."""


def name_of(manifest: Manifest) -> str:
    return f"{PREFIX}{manifest.run}-{manifest.epoch:06d}-{manifest.seq:08d}"


@dataclass(frozen=True, slots=True)
class Scratch:
    """`fd` is the locked directory itself, `tree` the one in it that is filled; `parent` is the destination."""

    name: str
    parent: int
    fd: int
    tree: int

    def held(self, paths: Iterable[str]) -> int:
        """Bytes that the files `paths` take on the disk already."""
        return sum(_blocks(path, self.tree) for path in paths)

    def leave(self) -> None:
        """For the next restore of the same manifest."""
        os.close(self.tree)
        os.close(self.fd)

    def remove(self) -> None:
        os.close(self.tree)
        _remove(self.name, self.parent, self.fd)


def claim(manifest: Manifest, parent: int, owner: Owner | None, nonce: str) -> Scratch:
    """The scratch directory of `manifest`, with what of its files an earlier restore left; a fresh one where that is alive."""
    name = name_of(manifest)
    fd = _locked(name, parent)
    if fd is None:
        name = f"{name}-{nonce}"
        fd = _made(name, parent)
    try:
        return Scratch(name, parent, fd, _tree(fd, {file.path for file in manifest.files}, owner))
    except BaseException:
        os.close(fd)
        raise


def sweep(parent: int, keep: str = "") -> None:
    """Remove what killed restores left, but the one named `keep`: their lock went with them."""
    for name in os.listdir(parent):
        if name.startswith(PREFIX) and name != keep and (fd := _abandoned(name, parent)) is not None:
            _remove(name, parent, fd)


def _locked(name: str, parent: int) -> int | None:
    """The descriptor, locked, of a directory that is made if need be; None where a living restore or somebody else has it."""
    for _ in range(RACES):
        fd: int | None
        try:
            fd = _made(name, parent)
        except FileExistsError:
            fd = _abandoned(name, parent)
        if fd is None:
            return None
        if _is_still(fd, name, parent):
            return fd
        os.close(fd)
    return None


def _made(name: str, parent: int) -> int:
    """The descriptor, locked, of a new directory. Raises FileExistsError."""
    os.mkdir(name, 0o700, dir_fd=parent)
    fd = os.open(name, BELOW, dir_fd=parent)
    with suppress(OSError):  # a file system without flock: then nobody sweeps it, or goes on with it
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return fd


def _abandoned(name: str, parent: int) -> int | None:
    """The descriptor, locked, of a directory that a killed restore of this user left."""
    try:
        fd = os.open(name, BELOW, dir_fd=parent)
    except OSError:
        return None  # not a directory, or gone
    try:
        if os.fstat(fd).st_uid == os.geteuid():
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
    except OSError:
        pass  # held by a living restore
    os.close(fd)
    return None


def _is_still(fd: int, name: str, parent: int) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(name, dir_fd=parent, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _remove(name: str, parent: int, fd: int) -> None:
    try:
        empty(fd)
        os.rmdir(name, dir_fd=parent)
    finally:
        os.close(fd)


def _tree(scratch: int, files: set[str], owner: Owner | None) -> int:
    """The directory to fill, rid of everything but `files`."""
    fd = _tree_left(scratch, owner)
    if fd is None:
        empty(scratch)
        return make_directory(TREE, scratch, owner)
    above = {path[:at] for path in files for at, letter in enumerate(path) if letter == "/"}
    try:
        _prune(fd, "", files, above, owner)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _tree_left(scratch: int, owner: Owner | None) -> int | None:
    try:
        fd = os.open(TREE, BELOW, dir_fd=scratch)
    except OSError:
        return None
    if _belongs(os.fstat(fd), owner):
        return fd
    os.close(fd)
    return None


def _prune(folder: int, inside: str, files: set[str], above: set[str], owner: Owner | None) -> None:
    """Remove what is not wanted, or not as it would be made. A file with a second name is somebody's: it stands in its place."""
    for name in os.listdir(folder):
        at = os.stat(name, dir_fd=folder, follow_symlinks=False)
        path, is_directory = inside + name, stat.S_ISDIR(at.st_mode)
        if is_directory and path in above and _belongs(at, owner):
            below = os.open(name, BELOW, dir_fd=folder)
            try:
                _prune(below, path + "/", files, above, owner)
            finally:
                os.close(below)
        elif not (stat.S_ISREG(at.st_mode) and at.st_nlink == 1 and path in files and _belongs(at, owner)):
            remove(name, folder, is_directory=is_directory)


def _belongs(at: os.stat_result, owner: Owner | None) -> bool:
    return at.st_uid == os.geteuid() if owner is None else (at.st_uid, at.st_gid) == owner


def _blocks(path: str, tree: int) -> int:
    try:
        return os.stat(path, dir_fd=tree, follow_symlinks=False).st_blocks * 512
    except (FileNotFoundError, NotADirectoryError):
        return 0
