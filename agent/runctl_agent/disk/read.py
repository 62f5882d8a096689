"""What lies in a watched directory now. Reads by descriptor and follows no link below the directory itself.

The directory's path may go through links, as its owner wrote it in the spec; nothing below it may.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import replace

from runctl_agent.access import open_way
from runctl_agent.contract.spec import Watched
from runctl_agent.errors import NotFoundError, WrongStateError
from runctl_agent.records import FileEntry, FileReading, Kind, Reading, signature

from . import kinds
from .glance import MAX_DEPTH, Found, glance
from .lock import trainer_lock_held
from .look import GONE, Looker, unreadable
from .openat import DIRECTORY, file_id, opened


class _TooDeep(Exception):
    """A directory is nested deeper than any checkpoint."""


class Reader:
    """Looks at one watched directory. One task at a time; `close` gives the descriptor back."""

    def __init__(self, watched: Watched, *, leases: bool = True) -> None:
        self._watched = watched
        self._looker = Looker(watched.path, leases=leases)
        self._fd = -1
        self._settled: dict[str, Reading] = {}  # directories that a glance can tell unchanged
        self._assumed: dict[str, str] = {}

    def assume(self, name: str, signature: str) -> None:
        """An earlier life looked at this content: it is looked at again only if it is another one now."""
        self._assumed[name] = signature

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def names(self) -> tuple[str, ...]:
        """Every candidate there is now, sorted; a directory shows only when read whether it is a checkpoint.

        Raises NotFoundError, WrongStateError.
        """
        return tuple(self._scan())

    def changed(self) -> tuple[str, ...]:
        """The candidates of `names` that a periodic pass must read: all but the files that are as they were."""
        return self.survey()[1]

    def survey(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """`names` and `changed` in one pass."""
        found = self._scan()
        changed = (name for name, status in found.items() if status is None or not self._looker.settled(name, name, status))
        return tuple(found), tuple(changed)

    def _scan(self) -> dict[str, os.stat_result | None]:
        """The candidates in order, files with their status; what was known of others is forgotten."""
        files, directories = self._list(self._root())
        grouped = _grouped(files)
        found: dict[str, os.stat_result | None] = {n: s for n, s in files.items() if kinds.suffix(n) in kinds.SUFFIXES}
        for name in grouped:
            found.pop(name, None)
        found.update(dict.fromkeys(directories))
        if grouped:
            found["final-model" if "final" in files or "final" in directories else "final"] = None
        wanted = {name: found[name] for name in sorted(found) if self._wanted(name)}
        self._looker.keep_candidates(wanted.keys())
        for kept in (self._settled, self._assumed):
            for gone in kept.keys() - wanted.keys():
                kept.pop(gone)
        return wanted

    def read(self, name: str) -> Reading | None:
        """One look; None: it is gone, or no checkpoint. Raises NotFoundError, WrongStateError."""
        root = self._root()
        if "/" in name or kinds.never(name) or not self._wanted(name):
            return None
        try:
            found = os.stat(name, dir_fd=root, follow_symlinks=False)
            mode = found.st_mode
        except FileNotFoundError:
            mode = 0
        except OSError as error:
            raise unreadable(f"{self._watched.path}/{name}", error) from error
        if stat.S_ISDIR(mode):
            return self._directory(root, name)
        if stat.S_ISREG(mode) and kinds.suffix(name) in kinds.SUFFIXES and not self._grouped_now(root, name):
            return self._known_before(root, name, Kind.FILE, [(name, found)]) or self._file(root, name)
        return self._group(root, name) if name in ("final", "final-model") else None

    def _wanted(self, name: str) -> bool:
        return kinds.wanted(name, self._watched.include, self._watched.exclude)

    def _root(self) -> int:
        """The descriptor of the directory that is at the path now."""
        path = self._watched.path
        try:
            at_path = os.stat(path)
            if self._fd >= 0 and os.path.samestat(os.fstat(self._fd), at_path):
                return self._fd
            fd = open_way(path)
        except FileNotFoundError as error:
            self.close()
            raise NotFoundError(
                f"the watched directory {path} does not exist",
                "the training has not made it yet, or it was removed",
                f"start the training, or correct checkpoints[].path in the run spec, or: mkdir -p '{path}'",
            ) from error
        except NotADirectoryError as error:
            self.close()
            raise WrongStateError(
                f"{path} can't be watched", "it is not a directory", "name a directory in checkpoints[].path of the run spec"
            ) from error
        except OSError as error:
            self.close()
            raise unreadable(path, error) from error
        self.close()
        self._fd = fd
        return fd

    def _list(self, root: int) -> tuple[dict[str, os.stat_result], list[str]]:
        """The regular files that aren't empty, and the names of the directories, that may be candidates."""
        files: dict[str, os.stat_result] = {}
        directories: list[str] = []
        try:
            with os.scandir(root) as entries:
                for entry in entries:
                    if kinds.never(entry.name):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        directories.append(entry.name)
                    elif entry.is_file(follow_symlinks=False) and (found := _status(entry)) and found.st_size > 0:
                        files[entry.name] = found
        except OSError as error:
            raise unreadable(self._watched.path, error) from error
        return files, directories

    def _grouped_now(self, root: int, name: str) -> bool:
        return kinds.part_of_final(name) and any(_content_at(root, config) for config in kinds.CONFIGS)

    def _file(self, root: int, name: str) -> Reading | None:
        look = self._looker.look(name, name, root, name, name)
        if look is None or look.id.size == 0:
            self._looker.keep(name, ())
            return None
        return self._reading(root, name, Kind.FILE, [look])

    def _group(self, root: int, name: str) -> Reading | None:
        files, directories = self._list(root)
        taken = "final" in files or "final" in directories
        if name != ("final-model" if taken else "final"):
            return None
        looks = [self._looker.look(name, part, root, part, part) for part in sorted(_grouped(files))]
        found = [look for look in looks if look is not None]
        self._looker.keep(name, [look.path for look in found])
        return self._reading(root, name, Kind.FINAL, found) if found else None

    def _known_before(self, root: int, name: str, kind: Kind, found: Found) -> Reading | None:
        """What an earlier life looked at, if it still is what it was then."""
        wanted = self._assumed.pop(name, None)
        own = "trainer_state.json" if kind is not Kind.FILE else name
        asks_its_own = kinds.step_from_name(name) is None and own.endswith(".json") and any(path == own for path, _ in found)
        if wanted is None or asks_its_own or wanted != signature(FileEntry(path, file_id(status)) for path, status in found):
            return None
        return self._reading(root, name, kind, self._looker.assume(name, found))

    def _glanced(self, root: int, name: str) -> Reading | None:
        """The directory by its files' status alone; None: it has to be looked at."""
        if name not in self._settled and name not in self._assumed:
            return None
        found = glance(root, name)
        before = self._settled.pop(name, None)
        if before is not None and found is not None and self._looker.unchanged(name, found):
            locked = trainer_lock_held(root, name)
            reading: Reading | None = before if locked == before.trainer_lock else replace(before, trainer_lock=locked)
        else:
            kind = kinds.directory_kind(name, [path for path, _ in found]) if found else None
            reading = self._known_before(root, name, kind, found) if kind is not None and found else None
        if reading is None:
            self._looker.doubt(name)
        else:
            self._settled[name] = reading
        return reading

    def _directory(self, root: int, name: str) -> Reading | None:
        glanced = self._glanced(root, name)
        if glanced is not None:
            return glanced
        try:
            found = sorted(self._walk(root, name, name, "", 0), key=lambda look: look.path)
        except _TooDeep:
            return None  # no trainer nests a checkpoint so: somebody's source tree
        paths = [look.path for look in found]
        self._looker.keep(name, paths)
        kind = kinds.directory_kind(name, paths)
        if kind is None:
            return None
        reading = self._reading(root, name, kind, found)
        if self._looker.settles(name):
            self._settled[name] = reading
        return reading

    def _walk(self, where: int, entry: str, name: str, below: str, depth: int) -> Iterator[FileReading]:
        """Every regular file in the directory `entry` of `where`; what vanishes meanwhile is passed over."""
        shown = f"{name}/{below}".rstrip("/")
        if depth > MAX_DEPTH:
            raise _TooDeep
        try:
            fd = os.open(entry, DIRECTORY, dir_fd=where)
        except OSError as error:
            if error.errno in GONE:
                return
            raise unreadable(f"{self._watched.path}/{shown}", error) from error
        with opened(fd):
            with os.scandir(fd) as entries:
                children = [(e.name, e.is_dir(follow_symlinks=False), e.is_file(follow_symlinks=False)) for e in entries]
            for child, is_directory, is_file in children:
                if is_directory:
                    yield from self._walk(fd, child, name, f"{below}{child}/", depth + 1)
                elif is_file:
                    look = self._looker.look(name, below + child, fd, child, f"{name}/{below}{child}")
                    if look is not None:
                        yield look

    def _reading(self, root: int, name: str, kind: Kind, found: list[FileReading]) -> Reading:
        return Reading(
            root=self._watched.path,
            name=name,
            kind=kind,
            weights=any(kinds.carries_weights(look.path) for look in found),
            step=self._step(name, kind, [look.path for look in found]),
            files=tuple(found),
            trainer_lock=trainer_lock_held(root, name),
        )

    def _step(self, name: str, kind: Kind, paths: list[str]) -> int | None:
        named = kinds.step_from_name(name)
        if named is not None:
            return named
        own = "trainer_state.json" if kind is not Kind.FILE else name
        return self._looker.step(name, own) if own in paths else None


def _grouped(files: Collection[str]) -> set[str]:
    """Hugging Face's files at the top level; empty unless a configuration is among them."""
    if not any(config in files for config in kinds.CONFIGS):
        return set()
    return {name for name in files if kinds.part_of_final(name)}


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None


def _content_at(root: int, name: str) -> bool:
    try:
        found = os.stat(name, dir_fd=root, follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size > 0
