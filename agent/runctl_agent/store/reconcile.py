"""After a kill or a failure: what is really there of an upload, in the store and on disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from runctl_agent.contract.files import IDENTITY
from runctl_agent.errors import NoSuchUpload

from .crc import crc32
from .journal import Journal
from .objects import ObjectStore
from .outgoing import Outgoing
from .piece import changed, read_facts
from .plan import SMALLEST_PART, cut
from .progress import FileProgress, PartProgress

REMEMBERED = 8
"""Rows whose parts need no second read."""


class Reconciler:
    """Keeps of the journal's progress what store and disk confirm.

    What this process sent itself is not read from disk again: `Source.verify` covers it. After a kill it is, because
    the bytes on disk need not be those that were read before a power loss.
    """

    def __init__(self, store: ObjectStore, journal: Journal) -> None:
        self._store = store
        self._journal = journal
        self._here: dict[int, set[tuple[str, int]]] = {}

    def sent_here(self, row_id: int, path: str, number: int) -> None:
        """This process sent part `number`; from several tasks. Forgetting the oldest rows only costs reading them again."""
        self._here.setdefault(row_id, set()).add((path, number))
        for oldest in list(self._here)[:-REMEMBERED]:
            self.forget(oldest)

    def forget(self, row_id: int) -> None:
        self._here.pop(row_id, None)

    def reconcile(self, row_id: int, file: Outgoing, progress: FileProgress, opener: Callable[[str], int]) -> None:
        """Fill in `file`; what is not confirmed is left to be sent. Raises SourceChanged if the disk has other bytes now."""
        if not file.adopt(progress):
            self._journal.forget_file(row_id, file.path)
        elif progress.done:
            self._done(row_id, file, progress, opener)
        else:
            self._open(row_id, file, progress, opener)

    def _done(self, row_id: int, file: Outgoing, progress: FileProgress, opener: Callable[[str], int]) -> None:
        self._confirm_disk(row_id, file, progress.parts, opener)
        _keep(file, progress.parts)
        if self._all_here(row_id, file) or holds(self._store, file.key, file.stored, file.crc):
            file.done = True
        else:
            self._begin_anew(row_id, file)

    def _open(self, row_id: int, file: Outgoing, progress: FileProgress, opener: Callable[[str], int]) -> None:
        try:
            there = {(part.number, part.size, part.etag) for part in self._store.list_parts(file.key, progress.upload_id)}
        except NoSuchUpload:
            self._closed(row_id, file, progress, opener)
            return
        confirmed = [part for part in progress.parts if (part.number, part.stored, part.etag) in there]
        self._confirm_disk(row_id, file, confirmed, opener)
        file.upload_id = progress.upload_id
        _keep(file, confirmed)

    def _closed(self, row_id: int, file: Outgoing, progress: FileProgress, opener: Callable[[str], int]) -> None:
        """The upload is gone: completed, with the answer lost, or expired."""
        _keep(file, progress.parts)
        if not file.missing() and holds(self._store, file.key, file.stored, file.crc):
            self._confirm_disk(row_id, file, progress.parts, opener)
            self._journal.completed(row_id, file.path, progress.upload_id)
            file.done = True
        else:
            self._begin_anew(row_id, file)

    def _begin_anew(self, row_id: int, file: Outgoing) -> None:
        file.parts.clear()
        file.encoding, file.grouped, file.sampled, file.upload_id = IDENTITY, 1, None, ""  # how is decided anew
        self._journal.forget_file(row_id, file.path)

    def _all_here(self, row_id: int, file: Outgoing) -> bool:
        here = self._here.get(row_id, set())
        return all((file.path, span.number) in here for span in file.spans())

    def _confirm_disk(self, row_id: int, file: Outgoing, sent: Iterable[PartProgress], opener: Callable[[str], int]) -> None:
        here = self._here.get(row_id, set())
        foreign = [part for part in sent if (file.path, part.number) not in here]
        if not foreign:
            return
        spans = {span.number: span for span in file.spans()}
        descriptor = opener(file.path)
        try:
            for part in foreign:
                if read_facts(descriptor, file.contents(spans[part.number]), file.path).digests != part.digests:
                    raise changed(file.path, f"part {part.number} differs from what was sent before the restart")
        finally:
            os.close(descriptor)


def holds(store: ObjectStore, key: str, size: int, crc: int) -> bool | None:
    """Whether the store has exactly these bytes under `key`; None: it has nothing there."""
    head = store.head(key)
    if head is None:
        return None
    if head.size != size:
        return False
    return (head.crc if head.crc is not None else _read_back(store, key, size)) == crc


def _read_back(store: ObjectStore, key: str, size: int) -> int:
    """The CRC-32 of an object whose store keeps none."""
    crc = 0
    for span in cut(size, SMALLEST_PART):
        if span.length:
            crc = crc32(store.get_range(key, span.offset, span.length), crc)
    return crc


def _keep(file: Outgoing, parts: Iterable[PartProgress]) -> None:
    file.parts = {part.number: part for part in parts}
