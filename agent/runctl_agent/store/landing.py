"""Where a restore lands: the destination, the hidden directory in it that is filled first, and the rename into place.

The destination may belong to the training's user, who may change it at any time: it is opened once, and everything in it
is reached through that descriptor. Links in the path to it are the caller's own and are followed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum

from runctl_agent.contract.manifest import Manifest, ManifestFile
from runctl_agent.errors import BadChecksum, JournalError, Occupied, StoreError, WrongStateError
from runctl_agent.records import IN_PLACE, FileEntry, FileId, signature

from . import scratch
from .folder import DIRECTORY, Owner, files_below, make_directory, open_regular, sync_tree
from .incoming import same


class Present(Enum):
    """What already stands where a checkpoint would go."""

    NOTHING = "nothing"
    SAME = "same"  # every file, with the same content
    PARTLY = "partly"  # some of its files with the same content, and nothing else in their way
    OTHER = "other"


class Landing:
    """One destination directory, created if need be. A context manager."""

    def __init__(self, destination: str, owner: Owner | None = None) -> None:
        self.destination = destination
        self._owner = owner
        self._scratch = -1
        self._fd = _open_destination(destination, owner)

    def __enter__(self) -> Landing:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def place(self, manifest: Manifest) -> str:
        """Where the checkpoint is, once restored."""
        if manifest.kind not in IN_PLACE:
            return os.path.join(self.destination, manifest.checkpoint)
        return os.path.join(self.destination, manifest.files[0].path) if manifest.kind == "file" else self.destination

    def present(self, manifest: Manifest) -> Present:
        """Compares content, so it reads what is there."""
        if manifest.kind in IN_PLACE:
            found = {self._compare(file, file.path) for file in manifest.files}
            if Present.OTHER in found:
                return Present.OTHER
            return found.pop() if len(found) == 1 else Present.PARTLY
        return self._present_directory(manifest)

    def _present_directory(self, manifest: Manifest) -> Present:
        name = manifest.checkpoint
        mode = self._mode(name)
        if mode is None:
            return Present.NOTHING
        there = files_below(name, self._fd) if stat.S_ISDIR(mode) else set()
        if stat.S_ISDIR(mode) and not there:
            return Present.NOTHING
        if there != {file.path for file in manifest.files}:
            return Present.OTHER
        same = all(self._compare(file, f"{name}/{file.path}") is Present.SAME for file in manifest.files)
        return Present.SAME if same else Present.OTHER

    def _compare(self, file: ManifestFile, path: str) -> Present:
        fd = open_regular(path, self._fd)
        if fd is None:
            return Present.NOTHING if self._mode(path) is None else Present.OTHER
        try:
            return Present.SAME if same(fd, file) else Present.OTHER
        finally:
            os.close(fd)

    def signature(self, manifest: Manifest) -> str:
        """`records.signature` of its files as they stand here; empty: not all of them do."""
        above = "" if manifest.kind in IN_PLACE else f"{manifest.checkpoint}/"
        try:
            return signature(_entry(file.path, self._fd, above) for file in manifest.files)
        except OSError:
            return ""

    def _mode(self, path: str) -> int | None:
        try:
            return os.stat(path, dir_fd=self._fd, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return None

    def sweep(self, keep: Manifest | None = None) -> None:
        """Remove what killed restores left here, but what the next of `keep` goes on with."""
        scratch.sweep(self._fd, scratch.name_of(keep) if keep is not None else "")

    @contextmanager
    def tree(self, manifest: Manifest, nonce: str) -> Iterator[int]:
        """The descriptor of a hidden directory in the destination for the files of `manifest`; gone afterwards.

        What a killed restore of it left is in it; so it stays for the next one if the store or the journal fails. Raises
        WrongStateError if there is no room for the rest.
        """
        mine = scratch.claim(manifest, self._fd, self._owner, nonce)
        self._scratch = mine.fd
        paths = [file.path for file in manifest.files]
        # What is no Exception ends the process, in which other tasks may still be writing: it keeps its lock until then.
        try:
            self.require_room(manifest.size - mine.held(paths))
            yield mine.tree
        except (StoreError, JournalError) as error:
            if isinstance(error, BadChecksum) or not mine.held(paths):
                mine.remove()
            else:
                mine.leave()
            raise
        except Exception:
            mine.remove()
            raise
        mine.remove()

    def require_room(self, size: int) -> None:
        """Raises WrongStateError if the file system has fewer than `size` bytes free."""
        disk = os.fstatvfs(self._fd)
        free = disk.f_bavail * disk.f_frsize
        if size > free:
            raise WrongStateError(
                f"nothing was restored into {self.destination}",
                f"it needs {size} bytes and {free} are free",
                "make room there, or restore elsewhere with --to",
            )

    def settle(self, manifest: Manifest, tree: int, before: Callable[[str], None] = lambda signature: None) -> None:
        """Move what `tree` holds into place, overwriting nothing; `before` hears its signature first. Raises WrongStateError."""
        sync_tree(tree)
        before(signature(_entry(file.path, tree) for file in manifest.files))
        if manifest.kind in IN_PLACE:
            for file in manifest.files:
                self._settle_file(file, tree)
        else:
            self._settle_directory(manifest, tree)
        os.fsync(self._fd)

    def _settle_directory(self, manifest: Manifest, tree: int) -> None:
        newest = max((file.mtime_ns for file in manifest.files), default=0)
        os.utime(tree, ns=(newest, newest))  # Hugging Face's rotation sorts by it
        try:
            os.rename(scratch.TREE, manifest.checkpoint, src_dir_fd=self._scratch, dst_dir_fd=self._fd)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise self.occupied(manifest) from error
            raise

    def _settle_file(self, file: ManifestFile, tree: int) -> None:
        try:
            os.link(file.path, file.path, src_dir_fd=tree, dst_dir_fd=self._fd, follow_symlinks=False)
        except FileExistsError as error:
            if self._compare(file, file.path) is not Present.SAME:
                raise _occupied(os.path.join(self.destination, file.path)) from error
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                raise
            self._rename_file(file, tree)

    def _rename_file(self, file: ManifestFile, tree: int) -> None:
        """For file systems without hard links, where a rename would overwrite."""
        if self._mode(file.path) is not None:
            raise _occupied(os.path.join(self.destination, file.path))
        os.rename(file.path, file.path, src_dir_fd=tree, dst_dir_fd=self._fd)

    def occupied(self, manifest: Manifest) -> Occupied:
        if manifest.kind not in IN_PLACE:
            return _occupied(self.place(manifest))
        other = next((f.path for f in manifest.files if self._compare(f, f.path) is Present.OTHER), manifest.files[0].path)
        return _occupied(os.path.join(self.destination, other))


def _entry(path: str, tree: int, above: str = "") -> FileEntry:
    at = os.stat(above + path, dir_fd=tree, follow_symlinks=False)
    return FileEntry(path, FileId(at.st_dev, at.st_ino, at.st_size, at.st_mtime_ns))


def _occupied(path: str) -> Occupied:
    return Occupied(
        f"{path!r} was left as it is, and nothing was restored",
        "it is there already, with another content",
        "move it away, or restore into another directory with --to",
    )


def _open_destination(destination: str, owner: Owner | None) -> int:
    """Component by component, so that missing ones are created where they are seen to be missing."""
    here = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in os.path.join(os.getcwd(), destination).split("/"):
            if part not in ("", "."):
                below = _enter(part, here, owner)
                os.close(here)
                here = below
        _require_access(here, owner, destination)
        return os.open(".", DIRECTORY, dir_fd=here)
    finally:
        os.close(here)


def _enter(part: str, parent: int, owner: Owner | None) -> int:
    try:
        return os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent)
    except FileNotFoundError:
        _require_access(parent, owner, part)
        return make_directory(part, parent, owner)


def _require_access(fd: int, owner: Owner | None, shown: str) -> None:
    """Root restores for a user only where that user could write: a link of theirs must not lead it elsewhere."""
    if owner is None or owner.uid == 0:
        return
    at = os.fstat(fd)
    others = stat.S_IWGRP if at.st_gid == owner.gid else stat.S_IWOTH
    if not at.st_mode & (stat.S_IWUSR if at.st_uid == owner.uid else others):
        raise WrongStateError(
            f"nothing was restored into {shown!r}",
            f"the user {owner.uid} may not write there",
            "give that directory to the training's user, or restore elsewhere with --to",
        )
