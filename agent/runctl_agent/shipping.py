"""The training's log, the agent's own and the history go to S3, in growing pieces. Whatever fails here stops nothing else."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from dataclasses import astuple, dataclass

from .conduct import End
from .contract.keys import Keys, Series
from .contract.phases import TERMINAL
from .contract.pieces import PIECE, Pieces
from .contract.spec import Spec
from .contract.status import State
from .errors import JournalError, RunctlError, StoreError
from .history import LONGEST_LINE, History
from .runtime import Runtime
from .store.backoff import backoff
from .store.journal import Journal
from .store.objects import ObjectStore
from .training.tail import Place, Tail

log = logging.getLogger(__name__)

EVERY = 30.0
"""Seconds between puts of a log that grows: each costs a request."""

SELDOM = 300.0
"""The same for the history: nobody looks at it while the run goes on."""

AT_ONCE = 1.0
"""The same while the end is near, and until what it left is there."""

SOON = 5.0
"""Seconds at most until what S3 failed at is tried again near the end, and at any time what could not be read."""

AT_A_TIME = 8
"""Pieces of one log that are put in a row: a checkpoint waits for no log."""

PATIENCE = 120.0
"""Seconds after the end for which the rest of the logs is waited for, where S3 fails and does not refuse."""

TRAINING, AGENT, HISTORY = "training.log", "agent.log", "history.jsonl"

Name = Callable[[Keys, int], Series]
"""The keys under an epoch."""


@dataclass(frozen=True, slots=True)
class Shipment:
    """What the shipping goes by. `epoch`: 0 while none is held."""

    epoch: int
    end: End


@dataclass(frozen=True, slots=True)
class Sent:
    """How far a log is in S3: up to `end`, which is `place` in the file."""

    end: int
    place: Place


@dataclass(frozen=True, slots=True)
class Memory:
    """What the journal has of one log. `tried`: as far as it is, if the put that was begun last has landed."""

    epoch: int
    sent: Sent
    tried: Sent


NOWHERE = Sent(0, Place(0, 0))


class Shipped:
    """One log on its way."""

    def __init__(self, name: str, series: Name, tail: Tail, journal: Journal, *, every: float = EVERY, spare: int = 0) -> None:
        """`every`: seconds; `spare`: so many bytes sooner a piece is full."""
        self.name = name
        self.every = every
        self.next_at = 0.0
        self.failures = 0
        self.error: RunctlError | None = None
        self.whole = False  # everything that stood in it at the last look is in S3
        self.ended = False  # and that look was after the end
        self.tail = tail
        self._series = series
        self._journal = journal
        self._spare = spare
        self._pieces = Pieces()
        self._again = 0  # bytes that the agent before this one began to put: they may land at any time, and are put as they were
        self._epoch = 0
        self._before = _remembered(journal.get(f"log {name}"))
        self._sent = NOWHERE

    def ship(self, store: ObjectStore, keys: Keys, epoch: int) -> None:
        """Put what is new. Raises StoreError, JournalError: what was read is put at the next try."""
        self.whole = False
        if epoch != self._epoch:
            self._enter(store, keys, epoch)
        for _ in range(AT_A_TIME):
            self._read()
            due = self._pieces.due()
            if due is None:
                self.whole = True
                return
            offset, body = due
            tried = Sent(self._pieces.tried, self.tail.place or NOWHERE.place)
            self._keep(tried)
            try:
                store.put(self._series(keys, epoch).key(offset), body)
            except StoreError:
                self._pieces.failed()
                raise
            self._pieces.sent()
            self._sent = tried
            self._keep(tried)

    def _read(self) -> None:
        """No more while a put is in doubt: until then the file keeps it."""
        if not self._pieces.room:
            return
        text = self.tail.read(min(self._pieces.room, self._again or PIECE))
        self._pieces.add(text)
        if self._again and text:
            self._pieces.failed()
            self._again = 0

    def _enter(self, store: ObjectStore, keys: Keys, epoch: int) -> None:
        """Write under `epoch`: behind what stands there already, which nobody writes anew."""
        before, unsent, again = self._before, self._pieces.unsent, 0
        if before is not None:
            landed = before.tried == before.sent or _end(store, self._series(keys, before.epoch)) == before.tried.end
            self._sent = before.tried if landed else before.sent
            self.tail.place = self._sent.place
            again = before.tried.end - self._sent.end if before.epoch == epoch else 0
        elif self._pieces.in_doubt and _end(store, self._series(keys, self._epoch)) == self._pieces.tried:
            unsent, self._sent = b"", Sent(self._pieces.tried, self.tail.place or NOWHERE.place)
        known = before is not None and before.epoch == epoch
        end = self._sent.end if known else _end(store, self._series(keys, epoch))
        self._before, self._epoch, self._pieces, self._again = None, epoch, Pieces(end, self._spare), again
        self._sent = Sent(end, self._sent.place)
        self._pieces.add(unsent)

    def _keep(self, tried: Sent) -> None:
        """Before the put as well: so the next agent can ask whether it has landed."""
        plain = [self._epoch, [self._sent.end, *astuple(self._sent.place)], [tried.end, *astuple(tried.place)]]
        self._journal.put(f"log {self.name}", json.dumps(plain))


class Shipping:
    """`run` in a task of its own; `tell`, `problems` and `over` from any."""

    def __init__(self, runtime: Runtime, journal: Journal, spec: Spec, home: str, agent_log: str) -> None:
        """`home`: where the agent keeps the history; `agent_log`: and what it logs; empty: it does not."""
        self._runtime = runtime
        self._history = History(runtime, journal, os.path.join(home, HISTORY), spec.publish.heartbeat)
        training, history = Tail(spec.workdir, spec.training.log_file), Tail(home, HISTORY, lines=True)
        self._logs = [
            Shipped(TRAINING, lambda keys, epoch: keys.log(epoch, TRAINING), training, journal),
            Shipped(HISTORY, Keys.history, history, journal, every=SELDOM, spare=LONGEST_LINE),
        ]
        if agent_log:
            own = Tail(*os.path.split(agent_log))
            self._logs.append(Shipped(AGENT, lambda keys, epoch: keys.log(epoch, AGENT), own, journal))
        self._reached_at: float | None = None
        self._last_word = False  # the history has a line of the end
        self._told = False
        self.stopping = runtime.event()

    def tell(self, state: State) -> None:
        """What the agent says of itself now, for the history."""
        self._history.tell(state)
        self._last_word = state.phase in TERMINAL

    @property
    def problems(self) -> tuple[str, ...]:
        refused = next((f"logs are not sent: {one.error}" for one in self._logs if one.error is not None), "")
        found = [refused, self._history.problem, *(one.tail.problem for one in self._logs)]
        return tuple(problem for problem in found if problem)

    @property
    def over(self) -> bool:
        """Whether the machine may go, as far as the logs are concerned: after the end all of them are in S3, or can't be."""
        if self._reached_at is None:
            return False
        refused = (one.error is not None and getattr(one.error, "permanent", False) for one in self._logs)
        there = (one.ended for one in self._logs)
        return all(map(any, zip(there, refused, strict=True))) or self._runtime.monotonic() - self._reached_at > PATIENCE

    def run(self, store: ObjectStore, keys: Keys, situation: Callable[[], Shipment]) -> None:
        while not self.stopping.wait(AT_ONCE):
            self.turn(store, keys, situation())
        self.close()

    def close(self) -> None:
        for one in self._logs:
            one.tail.close()

    def turn(self, store: ObjectStore, keys: Keys, now: Shipment) -> None:
        """Put what is due. The end is only near until the history has its line of it, which has to be sent as well."""
        if now.end is End.REACHED and not self._last_word:
            now = Shipment(now.epoch, End.NEAR)
        if now.end is not End.REACHED:
            self._reached_at = None
            for one in self._logs:
                one.ended = False
        elif self._reached_at is None:
            self._reached_at = self._runtime.monotonic()
        for one in self._logs:
            hurried = now.end is not End.FAR and not one.ended and not one.failures
            if now.epoch and (hurried or self._runtime.monotonic() >= one.next_at):
                self._try(one, store, keys, now)
        self._told = self._told and any(one.failures for one in self._logs)

    def _try(self, one: Shipped, store: ObjectStore, keys: Keys, now: Shipment) -> None:
        try:
            one.ship(store, keys, now.epoch)
        except (StoreError, JournalError) as error:
            one.failures += 1
            one.error = error
            permanent = getattr(error, "permanent", False)
            pause = backoff(one.failures, self._runtime.random(), permanent=permanent)
            pause = max(one.every, pause) if permanent or now.end is End.FAR else min(SOON, pause)
            if not self._told:
                log.warning("logs are not sent: %s", error.full)
                self._told = True
        else:
            one.failures, one.error = 0, None
            pause = min(SOON, one.every) if one.tail.problem else one.every
            one.ended = now.end is End.REACHED and one.whole
        one.next_at = self._runtime.monotonic() + pause


def _end(store: ObjectStore, series: Series) -> int:
    """Where the pieces that are there end. Raises StoreError."""
    offsets = [offset for key in store.list(series.prefix) if (offset := series.offset(key)) is not None]
    if not offsets:
        return 0
    head = store.head(series.key(max(offsets)))
    return max(offsets) + (head.size if head is not None else 0)


def _remembered(text: str | None) -> Memory | None:
    """What an agent before this one kept."""
    if text is None:
        return None
    try:
        match json.loads(text):
            case [int(epoch), [int(end), *place], [int(tried), *further]]:
                return Memory(epoch, Sent(end, Place(*map(int, place))), Sent(tried, Place(*map(int, further))))
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        log.warning("what the journal says of a log can't be read: %s", error)
    return None
