"""How many requests with a body are under way at once: fewer when the store asks for it, more while all goes well.

Additive increase, multiplicative decrease (D. Chiu and R. Jain, "Analysis of the increase and decrease algorithms for
congestion avoidance in computer networks", 1989).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from runctl_agent.runtime import Runtime

ROUND = 1.0
"""Seconds in which all that is refused counts as one refusal: it was all under way at the same time."""


class Aimd:
    """The limit, between 1 and `most`. Pure; `now` is in monotonic seconds."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self._refused = float("-inf")

    @property
    def limit(self) -> int:
        return int(self._limit)

    def went_well(self) -> None:
        """One more for each round of requests that all went well."""
        self._limit = min(self._limit + 1 / self._limit, float(self._most))

    def refused(self, now: float) -> None:
        """Half of it, at most once a round."""
        if now - self._refused >= ROUND:
            self._limit = max(self._limit / 2, 1.0)
            self._refused = now


class Concurrency:
    """Shared by all transfers; used from several tasks. `room`: bytes that all of them together may hold, or one of them
    alone more."""

    def __init__(self, runtime: Runtime, most: int, room: int) -> None:
        self._runtime = runtime
        self._room = room
        self._held = 0
        self._aimd = Aimd(most)
        self._lock = runtime.lock()
        self._freed = runtime.event()
        self._active = 0

    @property
    def limit(self) -> int:
        return self._aimd.limit

    @contextmanager
    def slot(self, size: int = 0) -> Iterator[None]:
        """Wait for a place among those that are under way, and for the room that `size` bytes take."""
        while not self._enter(size):
            self._freed.wait()
        try:
            yield
        finally:
            self._leave(size)

    def went_well(self) -> None:
        with self._lock:
            self._aimd.went_well()

    def refused(self) -> None:
        with self._lock:
            self._aimd.refused(self._runtime.monotonic())

    def _enter(self, size: int) -> bool:
        with self._lock:
            fits = self._active < self._aimd.limit and self._held + size <= self._room
            if fits or not self._active:
                self._active += 1
                self._held += size
                return True
            self._freed.clear()  # while the lock is held: nobody has left since the look
            return False

    def _leave(self, size: int) -> None:
        with self._lock:
            self._active -= 1
            self._held -= size
            self._freed.set()
