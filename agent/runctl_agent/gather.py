"""The first half of the way: watch → settle → stage → journal. One task; nobody else touches the settler or stages.

Events are hints and the disk is the truth: a hint marks a candidate dirty, a dirty candidate is read at once and again
after the settle time, and whatever is not finished is read when the settler asks for it.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from .disk import kinds
from .disk.lock import Locks
from .disk.read import Reader
from .disk.settle import Settler
from .disk.stage import Stager
from .errors import DiskShort, JournalError, RunctlError, SourceChanged
from .records import Change, Finished, Moment, Staged
from .runtime import Event, Mailbox, Runtime
from .store.journal import Journal

log = logging.getLogger(__name__)

Candidate = tuple[str, str]
"""(watched root, name)."""

RETRY_STAGING = 5.0


@dataclass
class Owed:
    """A finished checkpoint that could not be staged yet."""

    finished: Finished
    next_try: float
    since: float


class Gatherer:
    """Reads what changed, settles it, and stages and journals what is finished."""

    def __init__(
        self,
        runtime: Runtime,
        readers: Mapping[str, Reader],
        settler: Settler,
        stager: Stager,
        locks: Locks,
        journal: Journal,
        filled: Event,
        *,
        settle: float,
    ) -> None:
        self._runtime = runtime
        self._readers = readers
        self._settler = settler
        self._stager = stager
        self._locks = locks
        self._journal = journal
        self._filled = filled
        self._settle = settle
        self._mailbox: Mailbox[Change | None] = Mailbox(runtime)
        self._names: dict[str, frozenset[str]] = {root: frozenset() for root in readers}
        self._whole: set[str] = set()
        self._dirty: set[Candidate] = set()
        self._again: dict[Candidate, float] = {}
        self._owed: dict[Candidate, Owed] = {}
        self._forgotten: deque[Candidate] = deque()
        self._ended = False
        self._ending = False
        self._denied: dict[str, str] = {}
        self.problems: dict[str, str] = {}
        self.disk_full = ""
        self.backlog: tuple[tuple[str, str, str], ...] = ()
        self.recovered = runtime.event()
        self.stopping = runtime.event()

    def sink(self, change: Change) -> None:
        """Take a hint; from any task."""
        self._mailbox.put(change)

    def training_ended(self, ended: bool) -> None:
        """Whether what is not whole now will never be; from any task."""
        if ended != self._ended:
            self._ended = ended
            self._ending = ended  # a last read of everything: the hint of the last checkpoint may never have come
            self._mailbox.put(None)

    def forget(self, root: str, name: str) -> None:
        """What was staged of this name was dropped: read it again; from any task."""
        self._forgotten.append((root, name))
        self._mailbox.put(None)

    def stop(self) -> None:
        self.stopping.set()
        self._mailbox.put(None)

    @property
    def refused(self) -> str:
        """What the file system refuses to the agent, with the mend; empty: nothing."""
        return next(iter(self._denied.copy().values()), "")

    @property
    def quiet(self) -> bool:
        """Nothing on disk waits to be finished or staged."""
        return not (self._ending or self._owed or self._whole or self._dirty or self._again or self.backlog)

    def run(self) -> None:
        self._stager.sweep({row.staged.directory for row in self._journal.pending().rows})
        self.recover()
        while not self.stopping.is_set():
            self.turn()

    def recover(self) -> None:
        """Read everything once: what was finished while nobody looked is staged before the agent says it is ready."""
        for (root, name), signature in self._journal.known().items():
            self._settler.remember(root, name, signature)
        self._whole.update(self._readers)
        self._look()
        self.recovered.set()

    def turn(self, at_most: float | None = None) -> None:
        """Wait for a hint or for the next look that is due, at most so many seconds, then read, settle and stage."""
        patience = self._patience()
        for change in self._mailbox.take_all(patience if at_most is None else min(at_most, patience or at_most)):
            if change is not None:
                self._hint(change)
        ending = self._ending
        if ending:
            self._whole.update(self._readers)
        self._due()
        self._look()
        if ending:
            self._ending = False

    def _patience(self) -> float | None:
        now = self._moment()
        times = [t for t in (self._settler.next_look(now), *self._again.values()) if t is not None]
        times.extend(owed.next_try for owed in self._owed.values())
        return max(min(times) - now.mono, 0.0) if times else None

    def _moment(self) -> Moment:
        return Moment(self._runtime.now(), self._runtime.monotonic())

    def _hint(self, change: Change) -> None:
        self._settler.hint(change, self._moment())
        if not change.path:
            self._whole.add(change.root)
            return
        top = change.path.partition("/")[0]
        for name in (top, "final", "final-model") if kinds.part_of_final(top) else (top,):
            self._dirty.add((change.root, name))
            self._again[change.root, name] = self._runtime.monotonic() + self._settle

    def _due(self) -> None:
        while self._forgotten:
            candidate = self._forgotten.popleft()
            self._settler.forget(*candidate)
            self._remember_rewritten(*candidate)
            self._dirty.add(candidate)
        now = self._moment()
        ready = [c for c, at in self._again.items() if at <= now.mono]
        for candidate in ready:
            del self._again[candidate]
        self._dirty.update(ready)
        self._dirty.update(self._settler.due(now))

    def _look(self) -> None:
        for root in sorted(self._whole):
            self._read_root(root)
        self._whole.clear()
        for root, name in sorted(self._dirty):
            self._read(root, name)
        self._dirty.clear()
        for finished in self._settler.finished(self._moment(), ended=self._ended):
            self._owed[(finished.root, finished.name)] = Owed(finished, 0.0, self._runtime.monotonic())
        self.backlog = tuple(self._settler.unfinished())
        for candidate, owed in sorted(self._owed.items(), key=lambda item: item[1].finished.at):
            if owed.next_try <= self._runtime.monotonic():
                self._stage(candidate, owed)
        self._keep_free()

    def _read_root(self, root: str) -> None:
        try:
            everything, changed = self._readers[root].survey()
        except RunctlError as error:
            self._problem(root, error)
            return
        self._solved(root)
        names = frozenset(everything)
        for name in sorted(self._names[root] - names):
            self._settler.gone(root, name)
            self._solved(f"{root}/{name}")
        self._names[root] = names
        self._dirty.update((root, name) for name in changed)

    def _read(self, root: str, name: str) -> None:
        before = self._moment()
        try:
            reading = self._readers[root].read(name)
        except RunctlError as error:
            self._problem(f"{root}/{name}", error)
            self._again[(root, name)] = self._runtime.monotonic() + RETRY_STAGING
            return
        self._solved(f"{root}/{name}")
        if reading is None:
            self._settler.gone(root, name)
        else:
            self._settler.observe(reading, before)

    def _stage(self, candidate: Candidate, owed: Owed) -> None:
        finished = owed.finished
        lock = None
        try:
            lock = self._locks.acquire(finished.root, finished.name, "stage", self._runtime.now())
            if lock is None and not self._bypassed(finished, owed.since):
                owed.next_try = self._runtime.monotonic() + min(self._settle, 1.0)
                return
            staged = self._stager.stage(finished, copy=self._rewritten(finished), label=self._runtime.nonce())
            self._enter(staged)
        except SourceChanged as error:
            log.info("not staged, read again: %s", error)
            self._settler.forget(*candidate)
            self._remember_rewritten(*candidate)
            self._again[candidate] = self._runtime.monotonic()
            del self._owed[candidate]
        except RunctlError as error:
            self._problem(f"{finished.root}/{finished.name}", error)
            if not (isinstance(error, DiskShort) and self._let_go(str(error))):
                owed.next_try = self._runtime.monotonic() + RETRY_STAGING
        else:
            log.info(
                "finished: %s, step %d, %d bytes, complete=%s", finished.name, finished.step, finished.size, finished.complete
            )
            self._solved(f"{finished.root}/{finished.name}")
            del self._owed[candidate]
            self._filled.set()
        finally:
            if lock is not None:
                lock.release()

    def _rewritten(self, finished: Finished) -> bool:
        """Whether this name was ever rewritten in place: then only a copy holds what it says now."""
        if self._settler.rewritten(finished.root, finished.name):
            self._remember_rewritten(finished.root, finished.name)
            return True
        return self._journal.get(_fact(finished.root, finished.name)) is not None

    def _remember_rewritten(self, root: str, name: str) -> None:
        """In the journal, for the agents after this one."""
        self._journal.put(_fact(root, name), "yes")

    def _enter(self, staged: Staged) -> None:
        """Into the journal; what the journal has already, or can't take, is not held twice."""
        try:
            added = self._journal.add(staged, self._runtime.now())
        except JournalError:
            self._stager.release(staged)
            raise
        if added is None:
            self._stager.release(staged)

    def _bypassed(self, finished: Finished, since: float) -> bool:
        """Whether the lock has been held by a stranger for longer than the settle time. The journal keeps it right."""
        if self._runtime.monotonic() - since <= self._settle:
            return False
        log.warning("the lock of %s is held by a stranger for longer than %g s: bypassed", finished.name, self._settle)
        return True

    def _keep_free(self) -> None:
        """Let superseded snapshots go while the disk is below `keep_free`; the newest complete one never."""
        for root in self._readers:
            short = self._stager.short_by(root)
            while short > 0:
                if not self._let_go(f"{root} is {short} bytes short of keep_free"):
                    self.disk_full = f"{root} is {short} bytes short of staging.keep_free, and nothing superseded is staged"
                    break
                short = self._stager.short_by(root)

    def _let_go(self, why: str) -> bool:
        for row in self._journal.superseded():
            if not self._journal.let_go(row.id, why):
                continue
            self._stager.release(row.staged)
            self.disk_full = f"{row.staged.finished.name} was let go before it was sent: {why}"
            log.warning("%s", self.disk_full)
            return True
        return False

    def _problem(self, subject: str, error: RunctlError) -> None:
        if self.problems.get(subject) != str(error):
            log.warning("%s", error.full)
        self.problems[subject] = str(error)
        if isinstance(error.__cause__, PermissionError):
            self._denied[subject] = f"{error}; {error.mend}"

    def _solved(self, subject: str) -> None:
        self.problems.pop(subject, None)
        self._denied.pop(subject, None)


def _fact(root: str, name: str) -> str:
    return "rewritten " + hashlib.sha256(os.fsencode(f"{root}/{name}")).hexdigest()[:32]
