"""The second half of the way: journal → upload → commit. One task; the uploader's parts run beside each other."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from .contract.manifest import Manifest, ManifestFile, Rank
from .disk.lock import Locks
from .disk.stage import Stager
from .errors import GaveWay, JournalError, RunctlError, SourceChanged, StoreError, StoreRefused, WrongStateError
from .lineage import Lineage
from .pruning import Pruning
from .records import Staged
from .runtime import Event, Runtime
from .store.backoff import backoff
from .store.commit import Committed, Committer
from .store.course import Course
from .store.journal import Journal, Row
from .store.upload import Uploader

log = logging.getLogger(__name__)

HURRY = 2.0
"""Seconds that are waited at most after a failure, while the machine is being taken away."""

IDLE = 5.0
"""Seconds between looks for rows whose retry is due or whose owner died."""


@dataclass(frozen=True)
class StagedSource:
    """The staged files, as the uploader reads them."""

    stager: Stager
    staged: Staged

    def open(self, path: str) -> int:
        return self.stager.open(self.staged, path)

    def verify(self) -> None:
        self.stager.verify(self.staged)


class Sender:
    """Claims rows, newest first, uploads and commits them; what fails is tried again without end."""

    def __init__(
        self,
        runtime: Runtime,
        run: str,
        instance: str,
        journal: Journal,
        stager: Stager,
        locks: Locks,
        uploader: Uploader,
        committer: Committer,
        lineage: Lineage,
        filled: Event,
        dropped: Callable[[Row], None],
        pruning: Pruning | None = None,
        course: Course | None = None,
    ) -> None:
        self._course = course or Course()
        self._runtime = runtime
        self._run = run
        self._instance = instance
        self._journal = journal
        self._stager = stager
        self._locks = locks
        self._uploader = uploader
        self._committer = committer
        self._lineage = lineage
        self._filled = filled
        self._dropped = dropped
        self.pruning = pruning
        self.failures = 0  # in a row
        self.retry_at: float | None = None  # wall-clock seconds, while nothing is tried because of them
        self._unreleased: list[tuple[int, str, float]] = []
        self.stopping = runtime.event()
        self.busy = False  # between taking a row and telling what became of it
        self.epoch = 0
        self.commits = 0  # in this life
        self.drops = 0  # of rows whose content is to be read again; counted before the journal forgets the row
        self.fenced = ""
        self.refused = ""
        self.last_error = ""
        self.incomplete = ""

    def holds(self) -> bool:
        """Whether nobody has taken the run from the epoch held; who has is told of in `fenced`, also where nothing is sent."""
        self.fenced = self._committer.fenced_by(self.epoch)
        return not self.fenced

    def stop(self) -> None:
        self.stopping.set()
        self._filled.set()

    def run(self) -> None:
        while not self.stopping.is_set():
            if not self.turn():
                pause = self.pause()
                self.retry_at = self._runtime.now() + pause if self.failures else None
                self._filled.wait(pause)
                self._filled.clear()
                self.retry_at = None

    def turn(self) -> bool:
        """Send the newest row that is due; False if there is none, or the store or the journal does not answer.

        Then retention has its turn, where the store answers.
        """
        sent = self._send_newest()
        if self.pruning is not None and not self.failures:
            self.pruning.turn(self.commits, behind=sent, disturbed=lambda: self.stopping.is_set() or self._filled.is_set())
        return sent

    def _send_newest(self) -> bool:
        try:
            self._release()
            self.epoch = self._lineage.ensure()
            if self.pruning is not None:
                self.pruning.enter(self.epoch)
            self._uploader.settle_aborts()
            self.busy = True
            row = self._journal.claim(self._runtime.now(), self._course.first)
            if row is not None:
                self._course.begun(row.id, self._runtime.monotonic())
                self.send(row)
                return True
            self.failures = 0
            if not self._journal.behind().checkpoints:
                self.refused = self.last_error = ""
        except (StoreError, JournalError) as error:
            self._failed(error)
        finally:
            self.busy = False
        return False

    def pause(self) -> float:
        """Seconds until the next turn, unless a row comes in."""
        return self._hurried(backoff(self.failures, self._runtime.random())) if self.failures else IDLE

    def _hurried(self, seconds: float) -> float:
        """A long pause would be the end of it where the machine goes."""
        return min(seconds, HURRY) if self._course.hurried else seconds

    def send(self, row: Row) -> None:
        """Upload and commit one claimed row, under its lock."""
        finished = row.staged.finished
        lock = None
        try:
            lock = self._locks.acquire(finished.root, finished.name, "upload", self._runtime.now())
            if lock is None:
                log.info("%s is sent without its lock, which another holds: the journal's claim decides", finished.name)
            files = self._uploader.send(row, StagedSource(self._stager, row.staged))
            if lock is not None and not lock.still_ours():
                log.warning("the lock file of %s was replaced; the journal's claim decides", finished.name)
            self._commit(row, self._manifest(row, files))
        except (SourceChanged, GaveWay) as error:
            self._give_up(row, error)
        except RunctlError as error:
            self._again(row, error)
        except OSError as error:
            self._again(row, WrongStateError(f"{finished.name} can't be read from staging", error.strerror or str(error)))
        except MemoryError:
            mend = "raise the memory limit of the agent's unit, or end what else uses the machine's memory"
            self._again(row, WrongStateError(f"{finished.name} can't be sent", "the agent gets no more memory", mend))
        finally:
            if lock is not None:
                lock.release()

    def _manifest(self, row: Row, files: tuple[ManifestFile, ...]) -> Manifest:
        if row.epoch is None or row.seq is None or row.rank_epoch is None:
            raise AssertionError("a claimed row has an epoch")
        finished = row.staged.finished
        return Manifest(
            run=self._run,
            epoch=row.epoch,
            seq=row.seq,
            checkpoint=finished.name,
            step=finished.step,
            rank=Rank(finished.weights, row.rank_epoch, finished.step, row.seq),
            kind=finished.kind.value,
            complete=finished.complete,
            created=self._runtime.now(),
            instance=self._instance,
            files=files,
            directory=finished.root,
            # The same after a kill, so that a commit whose answer was lost is recognised as our own.
            nonce=hashlib.sha256(f"{self._instance}.{row.epoch}.{row.seq}".encode()).hexdigest()[:32],
        )

    def _commit(self, row: Row, manifest: Manifest) -> None:
        outcome: Committed = self._committer.commit(manifest)
        self._journal.committed(row.id, outcome.key, self._runtime.now(), manifest)
        self._stager.release(row.staged)
        self.failures = 0
        self.commits += 1
        self.refused = self.last_error = ""
        self.fenced = outcome.reason if outcome.fenced else ""
        if not manifest.complete:
            self.incomplete = f"{manifest.checkpoint} was committed as it stood: it never became whole"
        log.info("committed %s, step %d, %d bytes, epoch %d", manifest.checkpoint, manifest.step, manifest.size, manifest.epoch)

    def _give_up(self, row: Row, error: SourceChanged | GaveWay) -> None:
        """What the journal can't take is done again at the next try: a row that stays claimed would wait for ever."""
        try:
            if isinstance(error, SourceChanged):
                self._drop(row, error)
            else:
                log.info("%s", error)
                self._journal.give_back(row.id)
        except JournalError as unwritable:
            self._again(row, unwritable)

    def _drop(self, row: Row, error: SourceChanged) -> None:
        log.info("dropped, the new content goes instead: %s", error)
        self.drops += 1
        self._journal.drop(row.id, str(error))
        self._dropped(row)
        self._stager.release(row.staged)
        self._uploader.abandon(row)

    def _again(self, row: Row, error: RunctlError) -> None:
        permanent = isinstance(error, StoreError) and error.permanent
        wait = backoff(row.attempts + 1, self._runtime.random(), permanent=permanent)
        self._unreleased.append((row.id, str(error), self._runtime.now() + self._hurried(wait)))
        self._failed(error)
        self._release()

    def _release(self) -> None:
        """Give back what failed; what the journal could not take is given back at the next turn."""
        while self._unreleased:
            row_id, error, next_try = self._unreleased[0]
            self._journal.release(row_id, error=error, next_try=next_try)
            self._unreleased.pop(0)

    def _failed(self, error: RunctlError) -> None:
        self.failures += 1
        if str(error) != self.last_error:
            log.warning("%s", error.full)
        self.last_error = str(error)
        self.refused = f"{error}; {error.mend}" if isinstance(error, StoreRefused) else ""
