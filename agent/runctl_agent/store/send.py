"""One part of an upload at a time: read, compared with what is stored already, sent or copied, journaled."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import NamedTuple, Protocol

from runctl_agent.contract.files import ZSTD
from runctl_agent.errors import (
    BadChecksum,
    GaveWay,
    NotFoundError,
    PreconditionFailed,
    SlowDown,
    StoreError,
    StoreUnavailable,
)
from runctl_agent.runtime import Runtime

from .alike import Equal, Known, equal_in, found_in
from .backoff import backoff
from .concurrency import Concurrency
from .course import Course
from .dedup import Dedup
from .journal import Journal, Row
from .objects import ObjectStore
from .outgoing import Outgoing
from .piece import Facts, Piece, read_facts, read_piece
from .plan import Span
from .progress import PartProgress
from .reconcile import Reconciler, holds
from .rooms import Rooms

log = logging.getLogger(__name__)

TRIES = 4
"""For a body that did not arrive as it was sent, or that the store had no time for; each is read anew."""


class Source(Protocol):
    """The staged files of one checkpoint. Both raise SourceChanged."""

    def open(self, path: str) -> int:
        """A descriptor for reading, which the caller closes."""

    def verify(self) -> None:
        """Every file is still the one that was finished."""


class Job(NamedTuple):
    file: Outgoing
    span: Span


class Parts:
    """Used from several tasks."""

    def __init__(
        self,
        store: ObjectStore,
        journal: Journal,
        runtime: Runtime,
        concurrency: Concurrency,
        dedup: Dedup | None,
        reconciler: Reconciler,
        least: int,
        course: Course,
    ) -> None:
        """`least`: bytes that the store takes for a part that is not the last."""
        self._course = course
        self._store = store
        self._journal = journal
        self._runtime = runtime
        self._concurrency = concurrency
        self._dedup = dedup
        self._reconciler = reconciler
        self._least = least
        self._plain: set[tuple[int, str]] = set()
        self._rooms = Rooms()

    def rest(self) -> None:
        """Give back the memory that parts were read into."""
        self._rooms.clear()

    def must_stay_plain(self, row: Row, file: Outgoing) -> bool:
        """Whether the key of the compressed object can't be had."""
        return (row.id, file.path) in self._plain

    def may_be_whole(self, file: Outgoing) -> bool:
        """Whether a stored file has the same size, and nothing of this one was sent yet."""
        if self._dedup is None or file.stands or file.parts or file.refused or not file.size:
            return False
        return self._dedup.possible(file.size)

    def first(self, row: Row, job: Job, source: Source) -> None:
        """Handle the first part, and look whether the whole is stored already."""
        self._may_go_on(row)
        file = job.file
        with self._rooms.lend(job.span.length) as room:
            descriptor = source.open(file.path)
            try:
                piece = self._read(file, job.span, descriptor, room)
                digests = piece.digests if piece is not None else file.equal[job.span.number][1].digests
                candidates = self._candidates(file, job.span, digests)
                if candidates:
                    piece = None  # if nothing comes of it, it is read again
                    self._read_on(file, candidates, descriptor)
            finally:
                os.close(descriptor)
            if piece is not None:
                whole = piece
                self._guarded(lambda: self._store_piece(row, file, whole))

    def send(self, row: Row, job: Job, source: Source) -> None:
        """Unless an earlier object has it. Raises StoreError, SourceChanged, GaveWay."""
        self._may_go_on(row)

        def once() -> None:
            with self._rooms.lend(job.span.length) as room:
                descriptor = source.open(job.file.path)
                try:
                    piece = self._read(job.file, job.span, descriptor, room)
                finally:
                    os.close(descriptor)
                if piece is not None:
                    self._store_piece(row, job.file, piece)

        self._guarded(once, job.span.length)

    def copy(self, row: Row, job: Job, source: Source) -> None:
        """What an earlier object has, inside S3; what can't be copied is sent."""
        file, span = job
        equal, facts = file.equal[span.number]
        try:
            self._guarded(lambda: self._copy(row, file, span, equal, facts))
        except (StoreError, NotFoundError) as error:
            log.info("part %d of %s is sent, not copied: %s", span.number, file.path, error)
            file.base = None
            self.send(row, job, source)

    def _may_go_on(self, row: Row) -> None:
        if self._course.gives_way(row.id, self._runtime.monotonic()):
            raise GaveWay(f"{row.staged.finished.name!a} waits", "another checkpoint can be sent in time")

    def _guarded(self, work: Callable[[], None], size: int = 0) -> None:
        """A few times, each in its turn: what did not arrive as it was sent, and what the store had no time for.

        `size`: bytes of memory that it takes.
        """
        for attempt in range(1, TRIES + 1):
            try:
                with self._concurrency.slot(size):
                    work()
            except (BadChecksum, SlowDown) as error:
                if isinstance(error, SlowDown):
                    self._concurrency.refused()
                if attempt == TRIES:
                    raise
                self._runtime.sleep(backoff(attempt, self._runtime.random()))
            else:
                self._concurrency.went_well()
                return

    def _candidates(self, file: Outgoing, span: Span, digests: tuple[str, ...]) -> list[Known]:
        """Stored files of this size that have this part."""
        alike = [] if self._dedup is None else self._dedup.alike(file.size, f"blake3:{digests[0]}")
        return [one for one in alike if found_in(one.file, span, digests)]

    def _read_on(self, file: Outgoing, candidates: list[Known], descriptor: int) -> None:
        """For as long as a candidate has all of what was read."""
        for span in file.spans()[1:]:
            facts = read_facts(descriptor, file.contents(span), file.path)
            candidates = [one for one in candidates if found_in(one.file, span, facts.digests)]
            self._note_equal(file, span, facts)
            if not candidates:
                return
        file.reference = next((one for one in candidates if self._dedup and self._dedup.stands(one.file)), None)

    def _read(self, file: Outgoing, span: Span, descriptor: int, room: memoryview) -> Piece | None:
        """None: an earlier object has it, which is noted."""
        contents = file.contents(span)
        dear = file.encoding == ZSTD and file.base is not None  # to compress: what an earlier object has is told before it
        if dear and self._note_equal(file, span, read_facts(descriptor, contents, file.path)):
            return None
        least = 0 if file.is_last(span) else self._least
        piece = read_piece(descriptor, span, file.path, room, encoding=file.encoding, contents=contents, least=least)
        return None if self._note_equal(file, span, Facts(piece.digests, piece.crc)) else piece

    def _note_equal(self, file: Outgoing, span: Span, facts: Facts) -> bool:
        if file.base is None or file.single:
            return False
        least = 1 if file.is_last(span) else self._least
        equal = equal_in(file.base.file, span, facts.digests, file.encoding, least)
        if equal is not None:
            file.equal[span.number] = (equal, facts)
        return equal is not None

    # --- one request ---

    def _store_piece(self, row: Row, file: Outgoing, piece: Piece) -> None:
        if file.single:
            self._put(row, file, piece)
        else:
            self._put_part(row, file, piece)
        self._reconciler.sent_here(row.id, file.path, piece.span.number)

    def _put(self, row: Row, file: Outgoing, piece: Piece) -> None:
        try:
            etag = self._store.put(file.key, memoryview(piece.body), crc=piece.crc, if_absent=True)
        except PreconditionFailed:
            # The key is this row's alone: what stands there is ours, and its answer was lost.
            self._expect(row, file, piece)
            etag = ""
        part = PartProgress(1, file.size, etag, piece.crc, piece.digests, piece.frames)
        self._journal.put_done(row.id, file.path, file.key, file.part_size, part, file.encoding, file.sampled)
        file.parts[1] = part
        file.done = True

    def _expect(self, row: Row, file: Outgoing, piece: Piece) -> None:
        held = holds(self._store, file.key, len(piece.body), piece.crc)
        if held is None:
            raise StoreUnavailable(
                f"writing {file.key} met another write", "the store answered 409", "nothing to do: it is tried again"
            )
        if not held and file.encoding == ZSTD:
            # Sent before a kill, by a version of zstandard that makes other frames of it. The other key is free.
            self._plain.add((row.id, file.path))
            raise StoreUnavailable(
                f"{file.path!a} is sent anew, as it is",
                "it was compressed in another way before",
                "nothing to do: it is tried again",
            )
        if not held:
            raise PreconditionFailed(
                f"{file.path!a} can't be sent",
                f"{file.key} holds other bytes already; nothing was overwritten",
                "see who else writes to this run's prefix; a new epoch (restart the agent on a new boot) uses new keys",
            )

    def _put_part(self, row: Row, file: Outgoing, piece: Piece) -> None:
        number = piece.span.number
        self._begin(row, file)
        etag = self._store.put_part(file.key, file.upload_id, number, memoryview(piece.body), piece.crc)
        part = PartProgress(number, piece.span.length, etag, piece.crc, piece.digests, piece.frames)
        self._journal.part_done(row.id, file.path, file.upload_id, part)
        file.parts[number] = part

    def _copy(self, row: Row, file: Outgoing, span: Span, equal: Equal, facts: Facts) -> None:
        """Raises NotFoundError where there is nothing to copy any more, StoreError."""
        base = file.base  # another task, whose copy failed, may give it up meanwhile
        found = None if self._dedup is None or base is None else self._dedup.source(base.file, equal)
        if found is None:
            raise NotFoundError(f"part {span.number} of {file.path!a} can't be copied", "the object it is in is another one now")
        self._begin(row, file)
        etag = self._store.copy_part(file.key, file.upload_id, span.number, found)
        checksum = facts.crc if equal.crc is None else equal.crc
        part = PartProgress(span.number, span.length, etag, checksum, facts.digests, equal.frames, copied=True)
        self._journal.part_done(row.id, file.path, file.upload_id, part)
        self._reconciler.sent_here(row.id, file.path, span.number)
        file.parts[span.number] = part

    def _begin(self, row: Row, file: Outgoing) -> None:
        """The multipart upload, once; only when something has to go into it."""
        with file.lock:
            if not file.upload_id:
                upload_id = self._store.create_multipart(file.key)
                self._journal.start_upload(row.id, file.path, file.key, upload_id, file.part_size, file.encoding, file.sampled)
                file.upload_id = upload_id
