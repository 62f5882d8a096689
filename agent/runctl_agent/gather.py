"""The first half of the way: watch → settle → stage → journal. One task; nobody else touches the settler or stages.

Events are hints and the disk is the truth: a hint marks a candidate dirty, a dirty candidate is read at once and again
after the settle time, and whatever is not finished is read when the settler asks for it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Mapping

from . import lean
from .disk import kinds
from .disk.read import Reader
from .disk.settle import Settler
from .errors import JournalError, NotFoundError, RunctlError
from .intake import RETRY, Candidate, Intake
from .records import Change, Finishes, Moment
from .runtime import Event, Mailbox, Runtime
from .saves import Saves
from .store.journal import Journal

log = logging.getLogger(__name__)

JOURNAL = "the journal"


class Gatherer:
    """Reads what changed, settles it, and gives what is finished to the intake."""

    def __init__(
        self,
        runtime: Runtime,
        readers: Mapping[str, Reader],
        settler: Settler,
        intake: Intake,
        journal: Journal,
        filled: Event,
        *,
        settle: float,
        saves: Saves | None = None,
    ) -> None:
        self._saves = saves or Saves()
        self._runtime = runtime
        self._readers = readers
        self._settler = settler
        self._intake = intake
        self._journal = journal
        self._filled = filled
        self._settle = settle
        self._mailbox: Mailbox[Change | None] = Mailbox(runtime)
        self._names: dict[str, frozenset[str]] = {root: frozenset() for root in readers}
        self._whole: set[str] = set()
        self._dirty: set[Candidate] = set()
        self._again: dict[Candidate, float] = {}
        self._forgotten: deque[tuple[Candidate, bool]] = deque()
        self._problems: dict[str, RunctlError] = {}
        self._ended, self._asked, self._read_for = False, 0, 0
        self._adopting = False
        self._passing = False
        self.held = False
        self.finished = Finishes()
        self.backlog: tuple[tuple[str, str, str], ...] = ()
        self.recovered = runtime.event()
        self.stopping = runtime.event()

    # --- from other tasks ---

    def sink(self, change: Change) -> None:
        """Take a hint."""
        self._mailbox.put(change)

    def training_ended(self, ended: bool) -> None:
        """Whether what is not whole now will never be."""
        if ended != self._ended:
            self._ended = ended
            self.rescan()

    def rescan(self) -> None:
        """Read everything again: somebody wants to be sure. Until then nothing is quiet."""
        self._asked += 1
        self._mailbox.put(None)

    def hold(self) -> None:
        """What appears from now on is not the training's: its code is being unpacked, and set up."""
        self.held = True

    def adopt(self) -> None:
        """What is there now is not the training's, and stays unsent; what comes later is. Done when nothing is `held`."""
        self._adopting = True
        self.rescan()

    def forget(self, root: str, name: str, *, rewritten: bool) -> None:
        """What was staged of this name was dropped: read it again. `rewritten`: in place, below a link of ours."""
        self._forgotten.append(((root, name), rewritten))
        self._mailbox.put(None)

    def stop(self) -> None:
        self.stopping.set()
        self._mailbox.put(None)

    @property
    def _ending(self) -> bool:
        return self._asked != self._read_for

    @property
    def quiet(self) -> bool:
        """Nothing on disk waits to be read, finished, staged or journaled."""
        unread = [error for error in self._problems.copy().values() if not isinstance(error, NotFoundError)]
        waits = self._ending or self._forgotten or self._whole or self._dirty or self.backlog or unread
        return not waits and self._intake.quiet

    @property
    def journaled(self) -> bool:
        """What was finished when it was read last is in the journal, but for what has a problem of its own."""
        waits = self._ending or self._forgotten or self._whole or self._dirty or self._passing
        return not waits and self._all_troubled(self._intake.owed())

    @property
    def exhausted(self) -> bool:
        """As `journaled`, and nothing else is there that may still finish."""
        return self.journaled and self._all_troubled(self.backlog)

    def _all_troubled(self, candidates: Iterable[tuple[str, str, str]]) -> bool:
        problems, troubles = self._problems.copy(), self._intake.troubles.copy()
        return all(root in problems or f"{root}/{name}" in problems or (root, name) in troubles for root, name, _ in candidates)

    @property
    def disk_full(self) -> str:
        return self._intake.disk_full

    def problems(self) -> list[str]:
        """What could not be read or staged, and why."""
        troubles = {f"{root}/{name}": error for (root, name), error in self._intake.troubles.copy().items()}
        return [*(f"{one}: {why}" for one, why in sorted({**self._problems.copy(), **troubles}.items())), *self._intake.held_open]

    @property
    def refused(self) -> str:
        """What the file system refuses to the agent, with the mend; empty: nothing."""
        errors = [*self._problems.copy().values(), *self._intake.troubles.copy().values()]
        return next((f"{e}; {e.mend}" for e in errors if isinstance(e.__cause__, PermissionError)), "")

    # --- its own task ---

    def run(self) -> None:
        """Until `stop`. A journal that can't be written is a problem, and is tried again."""
        turn = self.recover
        while not self.stopping.is_set():
            try:
                turn()
            except JournalError as error:
                self._problem(JOURNAL, error)
                self.stopping.wait(RETRY)
            else:
                self._problems.pop(JOURNAL, None)
                turn = self.turn

    def recover(self) -> None:
        """Read everything once: what was finished while nobody looked is staged before the agent says it is ready."""
        with lean.growing():
            for (root, name), signature in self._journal.known().items():
                self._settler.remember(root, name, signature)
                if root in self._readers:
                    self._readers[root].assume(name, signature)
            self._whole.update(self._readers)
            self._look()
        self.recovered.set()

    def turn(self, at_most: float | None = None) -> None:
        """Wait for a hint or for the next look that is due, at most so many seconds, then read, settle and stage."""
        patience = self._patience()
        for change in self._mailbox.take_all(patience if at_most is None else min(at_most, patience or at_most)):
            if change is not None:
                self._hint(change)
        asked, adopting = self._asked, self._ending and self._adopting
        if self._ending:
            self._whole.update(self._readers)
        self._due()
        self._look(adopting=adopting)
        self._read_for = asked

    def _patience(self) -> float | None:
        now = self._moment()
        times = [*self._again.values(), self._settler.next_look(now), self._intake.next_try()]
        first = min((t for t in times if t is not None), default=None)
        return None if first is None else max(first - now.mono, 0.0)

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
            candidate, rewritten = self._forgotten[0]
            self._settler.forget(*candidate)
            self._dirty.add(candidate)  # before it leaves the queue: one of the two keeps `quiet` false
            self._forgotten.popleft()
            if rewritten:
                self._intake.remember_rewritten(candidate)
        now = self._moment()
        ready = [c for c, at in self._again.items() if at <= now.mono]
        for candidate in ready:
            del self._again[candidate]
        self._dirty.update(ready)
        self._dirty.update(self._settler.due(now))

    def _look(self, *, adopting: bool = False) -> None:
        for root in sorted(self._whole):
            self._read_root(root)
        for root, name in sorted(self._dirty):
            self._read(root, name)
        if adopting:
            self._adopt()
        if not self.held:
            now = self._moment()
            for finished in self._settler.finished(now, ended=self._ended):
                self._intake.offer(finished)
                self._saves.finishes(finished, now.mono)
            self._saves.waits(((root, name) for root, name, _ in self._settler.unfinished()), now.mono)
        self._set_backlog()
        self._whole.clear()
        self._dirty.clear()
        self._stage()
        for candidate in self._intake.keep_free():
            self._settler.forget(*candidate)
            self._again[candidate] = self._runtime.monotonic()
        self._set_backlog()

    def _adopt(self) -> None:
        for root, name, signature in self._settler.unfinished():
            self._journal.foreign(root, name, signature, self._runtime.now())
            self._settler.remember(root, name, signature)
        self._adopting = self.held = False

    def _set_backlog(self) -> None:
        """What is on disk and not in the journal; what an epoch taken now finds there."""
        self.backlog = (*self._settler.unfinished(), *self._intake.owed())
        self._passing = self._settler.passing()

    def _stage(self) -> None:
        owed = {(root, name) for root, name, _ in self._intake.owed()}
        rewritten = {candidate for candidate in owed if self._settler.rewritten(*candidate)}
        for candidate in sorted(rewritten):
            self._intake.remember_rewritten(candidate)
        journaled, changed = self._intake.stage(rewritten)
        for candidate in changed:
            self._settler.forget(*candidate)
            self._again[candidate] = self._runtime.monotonic()
        for one in journaled:
            log.info("finished: %s, step %d, %d bytes, complete=%s", one.name, one.step, one.size, one.complete)
            self.finished = Finishes(self.finished.count + 1, one.root, one.name)
            self._filled.set()

    def _read_root(self, root: str) -> None:
        try:
            everything, changed = self._readers[root].survey()
        except RunctlError as error:
            self._problem(root, error)
            return
        self._problems.pop(root, None)
        names = frozenset(everything)
        for name in sorted(self._names[root] - names):
            self._gone(root, name)
        self._names[root] = names
        self._dirty.update((root, name) for name in changed)

    def _read(self, root: str, name: str) -> None:
        before = self._moment()
        try:
            reading = self._readers[root].read(name)
        except NotFoundError:  # the root itself is gone, which is told once
            self._gone(root, name)
        except RunctlError as error:
            self._problem(f"{root}/{name}", error)
            self._again[root, name] = self._runtime.monotonic() + RETRY
        else:
            self._problems.pop(f"{root}/{name}", None)
            if reading is None:
                self._settler.gone(root, name)
            else:
                self._settler.observe(reading, before)

    def _gone(self, root: str, name: str) -> None:
        self._settler.gone(root, name)
        self._problems.pop(f"{root}/{name}", None)

    def _problem(self, subject: str, error: RunctlError) -> None:
        if str(self._problems.get(subject)) != str(error):
            log.warning("%s", error.full)
        self._problems[subject] = error
