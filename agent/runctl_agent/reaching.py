"""The network, asked for until it answers: S3, and on an instance EC2 and IMDS."""

from __future__ import annotations

import logging

from .contract.keys import Keys
from .contract.status import State
from .errors import RunctlError
from .life.conductor import published
from .runtime import Event, Runtime
from .store.backoff import backoff
from .surroundings import Reached, Surroundings

log = logging.getLogger(__name__)


class Reaching:
    """`run` in one task; what stands in the way may be read from any."""

    def __init__(self, runtime: Runtime, around: Surroundings, keys: Keys, stopping: Event) -> None:
        self._runtime = runtime
        self._around = around
        self._keys = keys
        self._stopping = stopping
        self.error: RunctlError | None = None
        self.failures = 0
        self.retry_at: float | None = None

    def run(self) -> tuple[Reached, State | None] | None:
        """What was reached, with what the run last published, before this agent does. None: told to stop."""
        while not self._stopping.is_set():
            try:
                reached = self._around.reach()
                elsewhere = reached.store.get(self._keys.status)
            except RunctlError as error:
                self._failed(error)
            else:
                self.error, self.failures, self.retry_at = None, 0, None
                return reached, published(elsewhere)
        return None

    def _failed(self, error: RunctlError) -> None:
        self.failures += 1
        if str(error) != str(self.error):
            log.warning("%s", error.full)
        self.error = error
        pause = backoff(self.failures, self._runtime.random())
        self.retry_at = self._runtime.now() + pause
        self._stopping.wait(pause)
