"""From a journal row to S3 data objects.

The stages, each over all files of the checkpoint:

    prepare     reconcile with what an earlier life sent; choose the encoding; look for what is stored already
    first       the first part of files that may be stored as a whole: if they are, nothing of them is sent
    send        every missing part: read once, hashed and checksummed on that pass, and sent, unless an earlier object has it
    copy        what an earlier object has, inside S3; what can't be copied is sent
    complete    make objects of parts, and confirm size and CRC by a HEAD
    pin         what is only referenced is held against retention; what retention has condemned is sent
    verify      the staged files are still what was finished

The manifest is not written here: until it is, none of this is a checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from runctl_agent.contract.files import IDENTITY, ZSTD
from runctl_agent.contract.keys import Keys, snapshot_of
from runctl_agent.contract.manifest import ManifestFile, Rank
from runctl_agent.errors import StoreError, WrongStateError
from runctl_agent.records import StagedFile
from runctl_agent.runtime import Runtime, run_pool

from . import plan
from .alike import Known
from .backoff import backoff, is_due
from .complete import Completer
from .compression import choice_for
from .concurrency import Concurrency
from .course import Course
from .dedup import Dedup
from .journal import Journal, Row
from .objects import ObjectStore
from .outgoing import Outgoing
from .pins import Pins
from .progress import FileProgress, OwedAbort
from .reconcile import Reconciler
from .send import Job, Parts, Source

T = TypeVar("T")

PACKED = ".zst"
"""The end of a compressed object's key."""

WIDTH = 4
"""Parts in flight, of the smallest size; of larger ones as many as need no more memory, or one."""


class Uploader:
    """Sends the files of one row at a time.

    `compression`: none, zstd or auto. Without `dedup` everything is sent; with it, `pins` hold what is only referenced.
    """

    def __init__(
        self,
        store: ObjectStore,
        journal: Journal,
        keys: Keys,
        runtime: Runtime,
        *,
        width: int = WIDTH,
        part_size: Callable[[int], int] = plan.part_size,
        least: int = plan.LEAST_PART,
        compression: str = "none",
        dedup: Dedup | None = None,
        pins: Pins | None = None,
        course: Course | None = None,
    ) -> None:
        self._store = store
        self._journal = journal
        self._keys = keys
        self._runtime = runtime
        self._width = width
        self._part_size = part_size
        self._compression = compression
        self._dedup = dedup if pins is not None else None
        self._pins = pins
        self._reconciler = Reconciler(store, journal)
        self.concurrency = Concurrency(runtime, width, width * plan.SMALLEST_PART)
        self._parts = Parts(store, journal, runtime, self.concurrency, self._dedup, self._reconciler, least, course or Course())
        self._completer = Completer(store, journal)

    def send(self, row: Row, source: Source) -> tuple[ManifestFile, ...]:
        """Every file of a claimed row, durable and verified. What an earlier try got through is not sent again.

        Raises SourceChanged, StoreError, GaveWay; then what was sent stays journaled for the next try.
        """
        paths = {staged.path for staged in row.staged.files}
        files = [self._outgoing(row, staged, paths) for staged in row.staged.files]
        known = {progress.path: progress for progress in self._journal.files(row.id)}
        self._pool("prepare", lambda file: self._prepare(row, file, known.get(file.path), source), files)
        try:
            self._store_all(row, files, source)
            while condemned := self._condemned(row, files):
                for file in condemned:
                    file.refuse()
                self._store_all(row, condemned, source)
        finally:
            self._parts.rest()
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
            if is_due(owed.next_try, now):
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

    def _outgoing(self, row: Row, staged: StagedFile, paths: Collection[str]) -> Outgoing:
        if row.epoch is None or row.seq is None:
            raise WrongStateError(
                f"{row.staged.finished.name!a} can't be sent", "no epoch is held", "nothing to do: it is sent once S3 answers"
            )
        name, keys = row.staged.finished.name, {}
        keys[IDENTITY] = self._keys.data(row.epoch, row.seq, name, staged.path)
        if staged.path + PACKED not in paths:
            keys[ZSTD] = self._keys.data(row.epoch, row.seq, name, staged.path, PACKED)
        return Outgoing(staged, keys, self._part_size(staged.source.size), self._runtime.lock())

    def _prepare(self, row: Row, file: Outgoing, progress: FileProgress | None, source: Source) -> None:
        if progress is not None:
            self._reconciler.reconcile(row.id, file, progress, source.open)
        if file.done or not file.size:
            return
        packs = self._compression != "none" and ZSTD in file.keys and not self._parts.must_stay_plain(row, file)
        if packs and not (file.parts or file.upload_id):
            choice = choice_for(self._compression, source.open(file.path), file.size, file.path)
            file.encoding, file.grouped, file.sampled = choice.encoding, choice.grouped, choice.sampled
        if self._dedup is not None and not self._completer.distrusts_copies(row.id, file.path):
            finished = row.staged.finished
            file.base = self._dedup.base(finished.name, finished.kind, file.path, file.size)

    def _store_all(self, row: Row, files: Sequence[Outgoing], source: Source) -> None:
        first = [Job(file, file.spans()[0]) for file in files if self._parts.may_be_whole(file)]
        self._pool("first", lambda job: self._parts.first(row, job, source), first)
        missing = [Job(file, span) for file in files for span in file.missing()]
        self._pool("send", lambda job: self._send(row, job, source), missing)
        equal = [Job(file, span) for file in files for span in file.to_copy()]
        self._pool("copy", lambda job: self._parts.copy(row, job, source), equal)
        self._pool("complete", lambda file: self._completer.complete(row, file), [file for file in files if not file.stands])

    def _send(self, row: Row, job: Job, source: Source) -> None:
        """A part; by whom the last one of a file is sent, the file is completed, while other files are still being sent."""
        self._parts.send(row, job, source)
        if job.file.claim_completion():
            self._completer.complete(row, job.file)

    def _condemned(self, row: Row, files: Sequence[Outgoing]) -> list[Outgoing]:
        """Pin what is referenced; returns what has to be stored anew all the same."""
        referring = {file.path: file.reference for file in files if file.reference is not None}
        if not referring or self._pins is None or row.epoch is None or row.seq is None or row.rank_epoch is None:
            return []
        finished = row.staged.finished
        rank = Rank(finished.weights, row.rank_epoch, finished.step, row.seq)
        through: dict[str, set[str]] = {}
        for known in referring.values():
            through.setdefault(_owner(known), set()).add(known.through)
        condemned = self._pins.hold(row.epoch, row.seq, through, through=through, rank=rank)
        return [file for file in files if file.reference is not None and _owner(file.reference) in condemned]


def _owner(known: Known) -> str:
    """The checkpoint (`<epoch>-<seq>`) whose data holds the object."""
    owner = snapshot_of(known.file.object)
    if owner is None:
        raise AssertionError("what is known to be stored lies under data/")
    return owner
