"""The training's log and the agent's own go to S3, in growing pieces. Whatever fails here stops nothing else."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass

from .contract.keys import Keys
from .contract.pieces import Pieces
from .errors import JournalError, StoreError
from .runtime import Runtime
from .store.backoff import backoff
from .store.journal import Journal
from .store.objects import ObjectStore
from .training.tail import Place, Tail

log = logging.getLogger(__name__)

EVERY = 30.0
"""Seconds between puts of a log that grows: each costs a request."""

AT_ONCE = 1.0
"""The same while the end is near, or was reached."""

AT_A_TIME = 8
"""Pieces of one log that are put in a row: a checkpoint waits for no log."""

TRAINING, AGENT = "training.log", "agent.log"


@dataclass(frozen=True, slots=True)
class Shipment:
    """What the shipping goes by. `epoch`: 0 while none is held; `ending`: the logs may soon be all that is left."""

    epoch: int
    ending: bool


class Shipped:
    """One log on its way."""

    def __init__(self, name: str, tail: Tail, journal: Journal) -> None:
        self.name = name
        self.tail = tail
        self._journal = journal
        self._epoch, end, place = _remembered(journal.get(f"log {name}"))
        self._pieces = Pieces(end)
        tail.place = place
        self.whole = False  # everything that stood in it at the last look is in S3

    def ship(self, store: ObjectStore, keys: Keys, epoch: int) -> None:
        """Put what is new. Raises StoreError: what was read is put at the next try."""
        if epoch != self._epoch:
            self._epoch, self._pieces = epoch, Pieces()
        self.whole = False
        for _ in range(AT_A_TIME):
            text = self.tail.read(self._pieces.room)
            self._pieces.add(text)
            due = self._pieces.due()
            if due is None:
                self.whole = True
                return
            offset, body = due
            store.put(keys.log(epoch, self.name, offset), body)
            self._pieces.sent()
            self._keep()

    def _keep(self) -> None:
        place = self.tail.place
        plain = [self._epoch, self._pieces.end, place.inode if place else 0, place.offset if place else 0]
        try:
            self._journal.put(f"log {self.name}", json.dumps(plain))
        except JournalError as error:
            log.debug("%s", error)  # an agent that comes back sends some of it twice


class Shipping:
    """`run` in a task of its own; `problems` and `whole` may be read from any."""

    def __init__(self, runtime: Runtime, journal: Journal, workdir: str, training_log: str, agent_log: str) -> None:
        """`agent_log`: the agent's own, kept on its disk too; empty: there is none."""
        self._runtime = runtime
        self._logs = [Shipped(TRAINING, Tail(workdir, training_log), journal)]
        if agent_log:
            self._logs.append(Shipped(AGENT, Tail("/", agent_log), journal))
        self._failures = 0
        self._refused = ""
        self.stopping = runtime.event()

    @property
    def problems(self) -> tuple[str, ...]:
        found = [self._refused, *(one.tail.problem for one in self._logs)]
        return tuple(problem for problem in found if problem)

    @property
    def whole(self) -> bool:
        """Whether the training's log is in S3, as it stood at the last look."""
        return self._logs[0].whole

    def run(self, store: ObjectStore, keys: Keys, situation: Callable[[], Shipment]) -> None:
        waited = 0.0
        while not self.stopping.wait(AT_ONCE):
            waited += AT_ONCE
            now = situation()
            if now.epoch and waited >= self._pause(ending=now.ending):
                waited = 0.0
                self.turn(store, keys, now.epoch)
        self._close()

    def turn(self, store: ObjectStore, keys: Keys, epoch: int) -> None:
        try:
            for one in self._logs:
                one.ship(store, keys, epoch)
        except StoreError as error:
            self._failures += 1
            problem = f"logs are not sent: {error}"
            if problem != self._refused:
                log.warning("%s", problem)
            self._refused = problem
        else:
            self._failures, self._refused = 0, ""

    def _pause(self, *, ending: bool) -> float:
        if self._failures:
            return max(EVERY, backoff(self._failures, self._runtime.random()))
        return AT_ONCE if ending else EVERY

    def _close(self) -> None:
        for one in self._logs:
            one.tail.close()


def _remembered(text: str | None) -> tuple[int, int, Place | None]:
    """Epoch, end in S3 and place in the file, as an agent before this one kept them."""
    try:
        match json.loads(text or "[]"):
            case [int(epoch), int(end), int(inode), int(offset)] if min(epoch, end, inode, offset) >= 0:
                return epoch, end, Place(inode, offset)
    except ValueError as error:
        log.warning("what the journal says of a log can't be read: %s", error)
    return 0, 0, None
