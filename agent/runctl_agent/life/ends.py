"""How a preparation ends early."""

from __future__ import annotations

from runctl_agent.errors import RunctlError
from runctl_agent.training.job import Done


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
