"""Snapshots of finished checkpoints, so that rotation can't take them away; nothing is written into a watched directory.

A file that is held has the very identity that was finished, from before it is held until after. So a snapshot is the finished
checkpoint even if the trainer deletes it meanwhile; a hard link can still be rewritten in place, which `verify` tells.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

from runctl_agent.access import open_way
from runctl_agent.errors import DiskShort, RunctlError, SourceChanged, WrongStateError
from runctl_agent.records import IN_PLACE, FileEntry, FileId, Finished, Held, Staged, StagedFile

from . import hold, inodes, sweep
from .descriptors import Descriptors, Key
from .mounts import Mount, mount_of
from .openat import file_id, make_below, open_below, open_directory, open_file, opened, parts
from .places import Places

log = logging.getLogger(__name__)


class Stager:
    """Holds checkpoints in staging, or by open descriptors where there is no place for it.

    `keep_free` is what a copy must leave free: a share of the disk if below 1, else bytes. `roots` are all the watched
    directories: what they held before is swept, and none of them is staged in. The state directory must be there.
    """

    def __init__(
        self,
        state_dir: str,
        *,
        keep_free: float,
        roots: Iterable[str] = (),
        superuser: bool | None = None,
        mount: Callable[[str], Mount | None] = mount_of,
    ) -> None:
        self._keep_free = keep_free
        self._places = Places(state_dir, roots, superuser=os.geteuid() == 0 if superuser is None else superuser, mount=mount)
        self._remover = sweep.Remover(self._places)
        self._descriptors = Descriptors()
        self._guard: tuple[str, int] | None = None
        self._why = ""

    out_of_inodes = staticmethod(inodes.none_left)

    @property
    def held_open(self) -> str:
        """Why something is held by descriptors alone; empty: nothing is, or it was to be so. From any task."""
        return self._why if self._descriptors else ""

    def stage(self, finished: Finished, *, copy: bool, label: str) -> Staged:
        """Hold a finished checkpoint. `copy`: it may be rewritten in place. `label`: a name for it that nothing else has.

        What can't be copied for want of room is linked. No sweep takes it until `journaled` is told, or the next one is staged;
        one task stages. Raises SourceChanged, DiskShort, or WrongStateError; whatever it raises, nothing is left.
        """
        if parts(label) != [label]:
            raise WrongStateError(f"{label!r} is not used as a label", "it is not one name")
        self._unguard()
        with _told_of(finished), opened(_open_source(finished)) as source:
            unwritable: OSError | None = None
            for place in self._places.for_root(finished.root):
                try:
                    fd = self._places.open(place, make=True)
                except (OSError, WrongStateError):  # not writable, a link, or not ours: the next place
                    continue
                with opened(fd):
                    try:
                        return self._stage_in(place, fd, source, finished, copy=copy, label=label)
                    except OSError as error:
                        if error.errno not in hold.UNWRITABLE:
                            raise
                        unwritable = error
            return self._keep_open(source, finished, unwritable)

    def open(self, staged: Staged, path: str) -> int:
        """Open a staged file for reading, with an offset of its own; the caller closes it. Raises SourceChanged."""
        wanted = next((file for file in staged.files if file.path == path), None)
        if wanted is None:
            raise _changed(staged.finished, f"{path!r} is not part of it")
        with _told_of(staged.finished), ExitStack() as on_error:
            fd = self._open_held(staged, wanted)
            on_error.callback(os.close, fd)
            _require_same(staged.finished, path, file_id(os.fstat(fd)), wanted.held_id)
            on_error.pop_all()
            return fd

    def verify(self, staged: Staged) -> None:
        """Raises SourceChanged unless every staged file is still what was staged."""
        for file in staged.files:
            os.close(self.open(staged, file.path))

    def journaled(self, staged: Staged) -> None:
        """The journal has it: from now on that is what keeps it from a sweep."""
        if self._guard is not None and self._guard[0] == staged.directory:
            self._unguard()

    def release(self, staged: Staged) -> None:
        """Let a snapshot go; nothing happens if it has gone. What can't be removed is logged, and goes with another."""
        if staged.directory:
            self._remover.remove(staged.directory)
        else:
            self._descriptors.close(_key(staged.finished))

    def frees(self, staged: Staged) -> int:
        """Bytes that letting a snapshot go would free: none of what the trainer has still. 0 if that can't be told."""
        try:
            return sum(self._frees(staged, file) for file in staged.files)
        except (OSError, ValueError, RunctlError):
            return 0

    def sweep(self, keep: sweep.Known | set[str]) -> list[str]:
        """Remove what an earlier life of this agent staged and nobody knows; returns the directories removed.

        `keep`: directories, or labels, of what is known; asked while sweeping, so a `flush` that stages beside loses nothing.
        """
        return sweep.sweep(self._places, keep if callable(keep) else lambda: keep)

    def short_by(self, path: str) -> int:
        """Bytes that must become free on the file system of `path` before `keep_free` is; 0 if it is."""
        try:
            return _short_by(os.statvfs(path), self._keep_free)
        except OSError:  # it is not there, or hidden: nothing of it can be staged either
            return 0

    def _stage_in(self, place: str, fd: int, source: int, finished: Finished, *, copy: bool, label: str) -> Staged:
        os.mkdir(label, 0o700, dir_fd=fd)
        with ExitStack() as on_error:
            on_error.callback(shutil.rmtree, label, ignore_errors=True, dir_fd=fd)
            target = open_below(fd, label)
            on_error.callback(os.close, target)
            sweep.guard(target)
            files = self._hold_all(source, target, finished, copy=copy)
            on_error.pop_all()
        directory = os.path.join(place, label)
        self._guard = directory, target
        return Staged(finished, directory, tuple(files))

    def _unguard(self) -> None:
        if self._guard is not None:
            _, target = self._guard
            self._guard = None
            os.close(target)

    def _hold_all(self, source: int, target: int, finished: Finished, *, copy: bool) -> list[StagedFile]:
        held: list[StagedFile] = []
        left = finished.size
        for entry in finished.files:
            *above, name = parts(entry.path)
            with _open_finished(source, finished, entry) as fd, opened(make_below(target, above)) as directory:
                how, id_ = self._hold(finished, fd, directory, name, copy=copy, left=left)
                _require_finished(finished, entry, fd)
            if how is Held.LINK:
                _require_same(finished, entry.path, id_, entry.id)
            copy = copy and how is not Held.LINK  # half a copy holds nothing
            held.append(StagedFile(entry.path, entry.id, how, id_))
            left -= entry.id.size
        return held

    def _hold(self, finished: Finished, fd: int, directory: int, name: str, *, copy: bool, left: int) -> tuple[Held, FileId]:
        id_ = hold.reflink(fd, directory, name)
        if id_ is not None:
            return Held.REFLINK, id_
        id_ = None if copy else hold.link(fd, directory, name)
        if id_ is not None:
            return Held.LINK, id_
        try:
            return Held.COPY, self._copy(finished, fd, directory, name, left)
        except DiskShort as error:
            id_ = hold.link(fd, directory, name) if copy else None
            if id_ is None:
                raise
            log.info("linked, not copied: %s", error)
            return Held.LINK, id_

    def _copy(self, finished: Finished, fd: int, directory: int, name: str, left: int) -> FileId:
        short = _short_by(os.fstatvfs(directory), self._keep_free, less=left)
        if short:
            raise _disk_short(finished, f"a copy of {left} bytes leaves {short} bytes too little free")
        try:
            return hold.copy(fd, directory, name)
        except OSError as error:
            if error.errno not in hold.SHORT:
                raise
            os.unlink(name, dir_fd=directory)
            raise _disk_short(finished, error.strerror or str(error)) from error

    def _keep_open(self, source: int, finished: Finished, unwritable: OSError | None) -> Staged:
        """`unwritable`: why nothing was staged; where there are too few descriptors, room is what is wanted."""
        kept: dict[str, int] = {}
        with ExitStack() as on_error:
            for entry in finished.files:
                try:
                    with _open_finished(source, finished, entry) as fd:
                        kept[entry.path] = os.dup(fd)
                except OSError as error:
                    raise unwritable or error from None
                on_error.callback(os.close, kept[entry.path])
            on_error.pop_all()
        if unwritable is not None:
            self._why = f"{_name(finished)} is held open, not staged, and is lost if the agent ends: {unwritable.strerror}"
            log.warning("%s", self._why)
        self._descriptors.keep(_key(finished), kept)
        return Staged(finished, "", tuple(StagedFile(e.path, e.id, Held.DESCRIPTOR, e.id) for e in finished.files))

    def _open_held(self, staged: Staged, file: StagedFile) -> int:
        if staged.directory:
            with opened(open_directory(staged.directory)) as directory:
                return open_file(directory, file.path)
        fd = self._descriptors.open(_key(staged.finished), file.path)
        if fd is None:
            raise _changed(staged.finished, "it was held by descriptors, which ended with the agent that held them")
        return fd

    def _frees(self, staged: Staged, file: StagedFile) -> int:
        with opened(self._open_held(staged, file)) as fd:
            status = os.fstat(fd)
        ours = {Held.LINK: 1, Held.DESCRIPTOR: 0}.get(file.held)
        return status.st_size if ours is None or status.st_nlink == ours else 0


def _short_by(disk: os.statvfs_result, keep_free: float, less: int = 0) -> int:
    """Bytes short of `keep_free` if `less` bytes fewer were free; free means free for everybody, not for root alone."""
    wanted = keep_free * disk.f_blocks * disk.f_frsize if keep_free < 1 else keep_free
    return max(0, int(wanted) + less - disk.f_bavail * disk.f_frsize)


def _open_source(finished: Finished) -> int:
    root = open_way(finished.root)
    if finished.kind in IN_PLACE:
        return root
    with opened(root):
        return open_below(root, finished.name)


@contextmanager
def _open_finished(source: int, finished: Finished, entry: FileEntry) -> Iterator[int]:
    """A file of a finished checkpoint, the very one that was finished."""
    with opened(open_file(source, entry.path)) as fd:
        _require_finished(finished, entry, fd)
        yield fd


def _require_finished(finished: Finished, entry: FileEntry, fd: int) -> None:
    if file_id(os.fstat(fd)) != entry.id:
        raise _changed(finished, f"{entry.path!r} is not the file that was finished")


def _require_same(finished: Finished, path: str, found: FileId, wanted: FileId) -> None:
    if not hold.same(found, wanted):
        raise _changed(finished, f"{path!r} was rewritten in place")


def _changed(finished: Finished, why: str) -> SourceChanged:
    return SourceChanged(f"the snapshot of {_name(finished)} is dropped", why, "nothing: the new content is sent instead")


def _disk_short(finished: Finished, why: str) -> DiskShort:
    return DiskShort(f"{_name(finished)} is not staged", why, "free space on that disk, or lower staging.keep_free")


def _name(finished: Finished) -> str:
    return f"{finished.name!r} in {finished.root}"


@contextmanager
def _told_of(finished: Finished) -> Iterator[None]:
    """Foreign errors in the project's own words."""
    try:
        yield
    except OSError as error:
        raise _translated(finished, error) from error


def _translated(finished: Finished, error: OSError) -> SourceChanged | DiskShort | WrongStateError:
    why = error.strerror or str(error)
    if error.errno in hold.SHORT:
        return _disk_short(finished, why)
    if error.errno in hold.GONE or isinstance(error, FileNotFoundError):
        return _changed(finished, why)
    mend = "raise LimitNOFILE of the unit" if error.errno == errno.EMFILE else "run the agent as root, or as the training's user"
    return WrongStateError(f"{_name(finished)} can't be staged", why, mend)


def _key(finished: Finished) -> Key:
    return finished.root, finished.name, finished.signature
