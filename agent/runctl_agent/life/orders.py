"""The order that ends the training, kept in the journal: an agent that comes back in the same boot goes on with it."""

from __future__ import annotations

import json
import logging

from runctl_agent.contract.phases import Phase
from runctl_agent.errors import JournalError
from runctl_agent.runtime import Runtime
from runctl_agent.store.journal import Journal
from runctl_agent.training.order import Cause, Order, strongest

log = logging.getLogger(__name__)

MEMORY = "order"


class Orders:
    """The order of this boot; `give` and `standing` from any task."""

    def __init__(self, runtime: Runtime, journal: Journal, boot_id: str) -> None:
        self._journal = journal
        self._boot_id = boot_id
        self._lock = runtime.lock()
        self._standing = self._kept = _remembered(journal.get(MEMORY), boot_id)

    @property
    def standing(self) -> Order | None:
        return self._standing

    def give(self, order: Order) -> None:
        """It stands at once; the journal has it as soon as it can be written: a full disk does not keep a machine here."""
        with self._lock:
            found = strongest(self._standing, order)
            if found == self._standing:
                return
            self._standing = found
        log.info("the training is to end (%s): %s", found.cause, found.message)
        self.keep()

    def keep(self) -> None:
        """Write down what is not yet."""
        with self._lock:
            order = self._standing
            if order == self._kept or order is None:
                return
            plain = [self._boot_id, order.cause.value, order.outcome.value, order.message, order.at]
            try:
                self._journal.put(MEMORY, json.dumps(plain))
            except JournalError as error:
                log.warning("%s", error.full)
            else:
                self._kept = order


def _remembered(text: str | None, boot_id: str) -> Order | None:
    """What an agent before this one was given in this boot; what can't be read is as if there had been nothing."""
    try:
        match json.loads(text or "[]"):
            case [str(boot), str(cause), str(outcome), str(message), (int() | float() | None) as at] if boot == boot_id:
                return Order(Cause(cause), Phase(outcome), message, at)
    except (ValueError, RecursionError) as error:
        log.warning("what the journal says of the end that was ordered can't be read: %s", error)
    return None
