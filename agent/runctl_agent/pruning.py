"""Retention on a living run: when it is its turn, and what becomes of it. It never holds an upload up, nor ends one."""

from __future__ import annotations

import logging
from collections.abc import Callable

from .contract.keys import snapshot
from .contract.summary import size
from .errors import JournalError, RunctlError, StoreError, StoreRefused
from .runtime import Event, Runtime
from .store.backoff import backoff
from .store.journal import Journal
from .store.retain import BATCH, GoOn, Retainer
from .store.survey import Held

log = logging.getLogger(__name__)

OVERDUE = 300.0
"""Seconds after which it takes a batch of deletions between two uploads, where there is always one more to be sent."""


class Wish:
    """`runctl prune`, handed from the task that listens to the sender's. Counted: one made during a run is met by the next."""

    def __init__(self, filled: Event) -> None:
        self._filled = filled
        self.asked = 0
        self.met = 0

    def ask(self) -> int:
        """The number that `met` will reach."""
        self.asked += 1
        self._filled.set()
        return self.asked


class _Some:
    """Go on until so many deletions were begun."""

    def __init__(self, count: int) -> None:
        self._left = count

    def __call__(self, count: int) -> bool:
        if self._left <= 0:
            return False
        self._left -= count
        return True


class Pruning:
    """Only the sender's task calls its methods; `problem` and `refused`, for people, may be read from any."""

    def __init__(self, runtime: Runtime, retainer: Retainer, journal: Journal, wish: Wish) -> None:
        self._runtime = runtime
        self._retainer = retainer
        self._journal = journal
        self._wish = wish
        self._entered = 0
        self._applied_after = -1  # how many commits of this life
        self._applied_at = runtime.monotonic()
        self._failures = 0
        self._not_before = 0.0
        self.problem = ""
        self.refused = ""  # what someone has to mend

    def enter(self, epoch: int) -> None:
        """Before anything is sent under an epoch: nobody of a lower one condemns anything any more."""
        if epoch == self._entered or self._runtime.monotonic() < self._not_before:
            return
        try:
            self._retainer.enter(epoch)
            self._entered = epoch
        except StoreError as error:
            self._failed(error)

    def turn(self, commits: int, *, behind: bool, disturbed: Callable[[], bool]) -> None:
        """Apply the retention if anything was committed since, or somebody asked. `commits`: how many in this life.

        Not `behind`: until it is done, or `disturbed`. Behind: one batch of deletions, once it is overdue.
        """
        now = self._runtime.monotonic()
        wished = self._wish.asked > self._wish.met
        if now < self._not_before or (commits == self._applied_after and not wished):
            return
        if behind and not wished and now - self._applied_at < OVERDUE:
            return
        go_on = _Some(BATCH) if behind else lambda count: not disturbed()
        try:
            self._apply(commits, self._wish.asked, go_on)
        except (StoreError, JournalError) as error:
            self._failed(error)

    def _apply(self, commits: int, asked: int, go_on: GoOn) -> None:
        held = self._journal.epoch()
        if held is None:
            return
        rows = self._journal.pending().rows
        pending = {snapshot(row.epoch, row.seq) for row in rows if row.epoch is not None and row.seq is not None}
        done = self._retainer.run(Held(held.epoch, held.nonce), pending=pending, go_on=go_on)
        if done.manifests or done.objects:
            log.info("retention deleted %d checkpoints, %d objects, %s", done.manifests, done.objects, size(done.bytes))
        self._failures = 0
        self.problem = self.refused = ""
        if done.finished:
            self._applied_after, self._applied_at = commits, self._runtime.monotonic()
            self._wish.met = asked

    def _failed(self, error: RunctlError) -> None:
        self._failures += 1
        permanent = isinstance(error, StoreError) and error.permanent
        self._not_before = self._runtime.monotonic() + backoff(self._failures, self._runtime.random(), permanent=permanent)
        text = f"retention: {error}" + (f"; {error.mend}" if error.mend else "")
        if text != self.problem:
            log.warning("retention is not applied: %s", error.full)
        self.problem = text
        self.refused = text if isinstance(error, StoreRefused) else ""
