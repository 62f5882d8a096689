"""How a preparation ends early."""

from __future__ import annotations

import json
import logging

from runctl_agent.errors import RunctlError
from runctl_agent.training.job import Done

log = logging.getLogger(__name__)


class Cancelled(Exception):
    """The run is being ended, or the agent."""


class WorkFailed(RunctlError):
    """A worker's word, with the last lines of what it printed."""

    def __init__(self, done: Done) -> None:
        super().__init__(done.error)
        self._tail = done.tail

    @property
    def full(self) -> str:
        return "\n".join([str(self), *self._tail])


def failure_of(text: str | None, boot_id: str) -> tuple[str, ...]:
    """What an agent before this one said of this boot; what can't be read is as if it had said nothing."""
    try:
        match json.loads(text or "[]"):
            case [str(boot), *lines] if boot == boot_id and all(isinstance(line, str) for line in lines):
                return tuple(lines)
    except (ValueError, RecursionError) as error:
        log.warning("what the journal says of an end can't be read: %s", error)
    return ()
