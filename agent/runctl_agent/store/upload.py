"""From a journal row to S3 data objects.

The stages, each over all files of the checkpoint, at most `width` at a time:

    prepare     reconcile with what an earlier life sent; begin what is new
    send        every missing part: read once, hashed and checksummed on that pass, sent, journaled
    complete    make objects of parts, and confirm size and CRC by a HEAD
    verify      the staged files are still what was finished

The manifest is not written here: until it is, none of this is a checkpoint.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from runctl_agent.contract.keys import Keys
from runctl_agent.contract.manifest import ManifestFile
from runctl_agent.errors import BadChecksum, NoSuchUpload, PreconditionFailed, StoreError, StoreUnavailable, WrongStateError
from runctl_agent.records import StagedFile
from runctl_agent.runtime import Runtime, run_pool

from . import plan
from .backoff import backoff
from .journal import Journal, Row
from .objects import ObjectStore
from .outgoing import Outgoing
from .piece import Piece, read_piece
from .plan import Span
from .progress import OwedAbort, PartProgress
from .reconcile import Reconciler, holds, record_done

T = TypeVar("T")

TRIES = 4
"""For a body that did not arrive as it was sent; each is read anew."""


class Source(Protocol):
    """The staged files of one checkpoint. Both raise SourceChanged."""

    def open(self, path: str) -> int:
        """A descriptor for reading, which the caller closes."""

    def verify(self) -> None:
        """Every file is still the one that was finished."""


@dataclass(frozen=True, slots=True)
class _Job:
    file: Outgoing
    span: Span


class Uploader:
    """Sends the files of one row at a time. `on_bytes` is told what the store took, for the rate; from several tasks."""

    def __init__(
        self,
        store: ObjectStore,
        journal: Journal,
        keys: Keys,
        runtime: Runtime,
        *,
        width: int = 4,
        part_size: Callable[[int], int] = plan.part_size,
        on_bytes: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._store = store
        self._journal = journal
        self._keys = keys
        self._runtime = runtime
        self._width = width
        self._part_size = part_size
        self._on_bytes = on_bytes
        self._reconciler = Reconciler(store, journal)

    def send(self, row: Row, source: Source) -> tuple[ManifestFile, ...]:
        """Every file of a claimed row, durable and verified. What an earlier try got through is not sent again.

        Raises SourceChanged, StoreError; then what was sent stays journaled for the next try.
        """
        files = [self._outgoing(row, staged) for staged in row.staged.files]
        known = {progress.path: progress for progress in self._journal.files(row.id)}

        def prepare(file: Outgoing) -> None:
            if file.path in known:
                self._reconciler.reconcile(row.id, file, known[file.path], source.open)
            if not (file.single or file.done or file.upload_id):
                self._begin(row, file)

        self._pool("prepare", prepare, files)
        jobs = [_Job(file, span) for file in files for span in file.missing()]
        self._pool("send", lambda job: self._send(row, job, source), jobs)
        self._pool("complete", lambda file: self._complete(row, file), [file for file in files if not file.done])
        source.verify()
        return tuple(file.manifest_file(self._keys) for file in files)

    def abandon(self, row: Row) -> None:
        """Abort the open uploads of a dropped row. One that fails is remembered; `settle_aborts` tries it again."""
        self._reconciler.forget(row.id)
        self._journal.abandon_uploads(row.id)
        for owed in self._journal.owed_aborts(row.id):
            self._abort(owed)

    def settle_aborts(self) -> int:
        """Try the owed aborts that are due; returns how many are still owed, `Journal.owed_aborts` says why."""
        now = self._runtime.now()
        for owed in self._journal.owed_aborts():
            if owed.next_try <= now:
                self._abort(owed)
        return len(self._journal.owed_aborts())

    def _abort(self, owed: OwedAbort) -> None:
        try:
            self._store.abort_multipart(owed.key, owed.upload_id)
        except StoreError as error:
            wait = backoff(owed.attempts + 1, self._runtime.random(), permanent=error.permanent)
            self._journal.abort_failed(owed, error=str(error), next_try=self._runtime.now() + wait)
        else:
            self._journal.abort_done(owed)

    def _pool(self, name: str, work: Callable[[T], None], items: Sequence[T]) -> None:
        run_pool(self._runtime, name, self._width, work, items)

    def _outgoing(self, row: Row, staged: StagedFile) -> Outgoing:
        if row.epoch is None or row.seq is None:
            raise WrongStateError(
                f"{row.staged.finished.name!a} can't be sent", "no epoch is held", "nothing to do: it is sent once S3 answers"
            )
        key = self._keys.data(row.epoch, row.seq, row.staged.finished.name, staged.path)
        return Outgoing(staged, key, self._part_size(staged.source.size))

    def _begin(self, row: Row, file: Outgoing) -> None:
        file.upload_id = self._store.create_multipart(file.key)
        self._journal.start_upload(row.id, file.path, file.key, file.upload_id, file.part_size)

    def _send(self, row: Row, job: _Job, source: Source) -> None:
        for attempt in range(1, TRIES):
            try:
                return self._send_once(row, job, source)
            except BadChecksum:
                self._runtime.sleep(backoff(attempt, self._runtime.random()))
        return self._send_once(row, job, source)

    def _send_once(self, row: Row, job: _Job, source: Source) -> None:
        piece = _read(source, job)
        if job.file.single:
            self._put(row, job.file, piece)
        else:
            self._put_part(row, job.file, piece)
        self._reconciler.sent_here(row.id, job.file.path, job.span.number)
        self._on_bytes(job.span.length)

    def _put(self, row: Row, file: Outgoing, piece: Piece) -> None:
        try:
            etag = self._store.put(file.key, piece.body, crc=piece.crc, if_absent=True)
        except PreconditionFailed:
            # The key is this row's alone: what stands there is ours, and its answer was lost.
            self._expect(file, piece.crc)
            etag = ""
        file.parts[1] = PartProgress(1, file.size, etag, piece.crc, piece.digest)
        record_done(self._journal, row.id, file)

    def _expect(self, file: Outgoing, crc: int) -> None:
        held = holds(self._store, file.key, file.size, crc)
        if held is None:
            raise StoreUnavailable(
                f"writing {file.key} met another write", "the store answered 409", "nothing to do: it is tried again"
            )
        if not held:
            raise PreconditionFailed(
                f"{file.path!a} can't be sent",
                f"{file.key} holds other bytes already; nothing was overwritten",
                "see who else writes to this run's prefix; a new epoch (restart the agent on a new boot) uses new keys",
            )

    def _put_part(self, row: Row, file: Outgoing, piece: Piece) -> None:
        number, size = piece.span.number, piece.span.length
        etag = self._store.put_part(file.key, file.upload_id, number, piece.body, piece.crc)
        part = PartProgress(number, size, etag, piece.crc, piece.digest)
        self._journal.part_done(row.id, file.path, file.upload_id, part)
        file.parts[number] = part

    def _complete(self, row: Row, file: Outgoing) -> None:
        try:
            self._store.complete_multipart(file.key, file.upload_id, file.sent_parts(), file.crc)
        except (StoreUnavailable, NoSuchUpload):
            # The answer may be all that was lost. If not, the next try asks ListParts what is left of the upload.
            if not holds(self._store, file.key, file.size, file.crc):
                raise
        except BadChecksum:
            self._journal.forget_file(row.id, file.path)
            raise
        else:
            self._confirm(row, file)
        record_done(self._journal, row.id, file)

    def _confirm(self, row: Row, file: Outgoing) -> None:
        if not holds(self._store, file.key, file.size, file.crc):
            self._journal.forget_file(row.id, file.path)
            raise BadChecksum(
                f"{file.path!a} did not arrive as it was sent",
                f"{file.key} has another size or CRC-32 than its parts",
                "nothing to do: the file is sent again",
            )


def _read(source: Source, job: _Job) -> Piece:
    descriptor = source.open(job.file.path)
    try:
        return read_piece(descriptor, job.span, job.file.path)
    finally:
        os.close(descriptor)
