"""What could still be saved if the machine went: what is known of rate and saves, over restarts, and the plan made of it."""

from __future__ import annotations

import json
import logging

from .contract.spec import Spec
from .errors import JournalError
from .runtime import Event, Runtime
from .saves import Save, Saves
from .store.course import Course
from .store.journal import Journal, Queued
from .training.deadline import Pending, Plan, Situation, plan
from .training.risk import at_risk

log = logging.getLogger(__name__)

MEMORY = "outlook"
KEEP = 60.0
"""Seconds between writings of what was measured: the journal is synced each time."""

ENOUGH = 1.0
"""Seconds of sending from which on a rate counts as measured."""

REACTION = 5.0
"""Seconds that a trainer has to end its step before it begins to save."""


class Outlook:
    """`saves` is told by the gatherer, `measured` by the report; `plan` and `apply` are the conductor's."""

    def __init__(self, runtime: Runtime, spec: Spec, journal: Journal, course: Course, filled: Event) -> None:
        """`filled` wakes the sender."""
        self._filled = filled
        self._runtime = runtime
        self._spec = spec
        self._journal = journal
        self.course = course
        self._rate, self._spread, saves = _remembered(journal.get(MEMORY))
        self.saves = Saves(saves)
        self._kept_at = -KEEP
        self._kept = self._memory()
        self._risk = ""

    def measured(self, rate: float, spread: float, busy: float) -> None:
        """What the last minute was like, in bytes per second; `busy`: the seconds of sending in it."""
        if rate > 0 and busy >= ENOUGH:
            self._rate, self._spread = rate, spread
        now = self._runtime.monotonic()
        if now - self._kept_at >= KEEP and (memory := self._memory()) != self._kept:
            try:
                self._journal.put(MEMORY, memory)
            except JournalError as error:
                log.debug("%s", error)  # it is said where it matters; the next minute tries again
            self._kept_at, self._kept = now, memory

    def plan(self, at: float, *, alive: bool) -> Plan:
        """What can be saved until `at`, wall-clock seconds."""
        training, seconds = self._spec.training, self.saves.seconds
        return plan(
            Situation(
                now=self._runtime.now(),
                at=at,
                pending=tuple(
                    Pending(one.id, one.bytes, (int(one.finished_at * 1000), one.id), one.weights, one.complete, one.sending)
                    for one in self._queue()
                ),
                rate=self._limited(self._rate) or None,
                spread=self._spread,
                alive=alive,
                saves_on_signal=training.saves_on_signal,
                save_seconds=None if seconds is None else REACTION + seconds,
                save_bytes=self.saves.bytes,
                grace=training.grace,
            )
        )

    def _queue(self) -> list[Queued]:
        try:
            return self._journal.queue()
        except JournalError as error:  # what can't be read can't be sent either, and the end comes all the same
            log.warning("%s", error.full)
            return []

    def hasten(self) -> None:
        """What waits after a failure is tried at once."""
        try:
            self._journal.hasten()
        except JournalError as error:
            log.warning("%s", error.full)
        self._filled.set()

    def apply(self, plan: Plan | None) -> None:
        """Let the sender go by it; None: as ever."""
        if plan is None:
            self.course.clear()
        else:
            self.course.set(plan.send, plan.give_up)

    def at_risk(self) -> str:
        """Whether what the training saves could not be sent within a notice; empty: it could, as far as is known."""
        self._risk = at_risk(
            self.saves.bytes,
            self._limited(self._rate),
            self._spread,
            standing=bool(self._risk),
            limited=bool(self._spec.bandwidth) and self._rate >= 0.8 * self._spec.bandwidth,
        )
        return self._risk

    def _limited(self, rate: float) -> float:
        return min(rate, self._spec.bandwidth) if self._spec.bandwidth else rate

    def _memory(self) -> str:
        return json.dumps([int(self._rate), int(self._spread), [[round(s.seconds, 1), s.bytes] for s in self.saves.known]])


def _remembered(text: str | None) -> tuple[float, float, list[Save]]:
    """What an agent before this one measured; what can't be read is as if it had measured nothing."""
    try:
        match json.loads(text or "[]"):
            case [int(rate), int(spread), list(saves)]:
                return float(rate), float(spread), [Save(float(seconds), int(size)) for seconds, size in saves]
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        log.warning("what the journal says of the rate can't be read: %s", error)
    return 0.0, 0.0, []
