"""A log that is followed until its run has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from runctl_agent.runtime import Runtime

from .logs import Line, Log, Reader
from .wait import Wait

LAST = 2.0
"""Seconds between the last looks: until one finds nothing new."""

Emit = Callable[[Iterable[Line]], int]


class Follower:
    """`emit` shows lines, and tells how many there were; `wait` knows whether the run has ended."""

    def __init__(self, log: Log, reader: Reader, wait: Wait, runtime: Runtime, emit: Emit) -> None:
        self._log = log
        self._reader = reader
        self._wait = wait
        self._runtime = runtime
        self._emit = emit

    def until_ended(self) -> None:
        """Raises RunctlError."""
        while self._wait.look() is None:
            self._look()
            self._emit(self._reader.drawn())
            self._runtime.sleep(self._wait.pause)
        while self._look():
            self._runtime.sleep(LAST)
        self._runtime.sleep(LAST)
        self._look()
        self._emit(self._reader.rest())

    def _look(self) -> int:
        return self._emit(self._reader.new(self._log.pieces()))
