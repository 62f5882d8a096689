"""Staged checkpoints made of plain files, and a source that reads them."""

from __future__ import annotations

import os
from collections.abc import Mapping

from runctl_agent.errors import SourceChanged
from runctl_agent.records import FileEntry, FileId, Finished, Held, Kind, Staged, StagedFile


def finished(
    name: str = "checkpoint-5",
    *,
    root: str = "/w",
    step: int = 5,
    weights: bool = True,
    complete: bool = True,
    at: float = 100.0,
    size: int = 10,
    inode: int = 1,
) -> Finished:
    """A checkpoint of one file that exists nowhere; another `inode` means other content."""
    files = (FileEntry("model.pt", FileId(1, inode, size, 5)),)
    return Finished(root, name, Kind.DIRECTORY, step, weights, complete, files, at)


def staged(done: Finished) -> Staged:
    files = tuple(StagedFile(entry.path, entry.id, Held.LINK, entry.id) for entry in done.files)
    return Staged(done, f"/staging/{done.name}", files)


def write_files(
    directory: str,
    contents: Mapping[str, bytes],
    name: str = "checkpoint-5",
    *,
    at: float = 100.0,
    kind: Kind = Kind.DIRECTORY,
) -> Staged:
    """Write real files below `directory` and stage them where they lie."""
    files: list[StagedFile] = []
    for path, body in sorted(contents.items()):
        whole = os.path.join(directory, path)
        os.makedirs(os.path.dirname(whole), exist_ok=True)
        with open(whole, "wb") as stream:
            stream.write(body)
        files.append(StagedFile(path, identity(whole), Held.LINK, identity(whole)))
    entries = tuple(FileEntry(file.path, file.source) for file in files)
    return Staged(Finished("/w", name, kind, 5, True, True, entries, at), directory, tuple(files))


def identity(path: str) -> FileId:
    found = os.stat(path)
    return FileId(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


class FolderSource:
    """Checks identities when it opens and when it verifies; `opened` lists what was opened."""

    def __init__(self, staged: Staged) -> None:
        self._directory = staged.directory
        self._ids = {file.path: file.held_id for file in staged.files}
        self.opened: list[str] = []

    def open(self, path: str) -> int:
        self._check(path)
        self.opened.append(path)
        return os.open(os.path.join(self._directory, path), os.O_RDONLY)

    def verify(self) -> None:
        for path in self._ids:
            self._check(path)

    def _check(self, path: str) -> None:
        if identity(os.path.join(self._directory, path)) != self._ids[path]:
            raise SourceChanged(f"{path} changed")
