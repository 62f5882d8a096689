"""The simulator's clock: the real one, and what a test has added to it."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    def __init__(self) -> None:
        self._added = 0.0

    def now(self) -> float:
        """Seconds, monotonic."""
        return time.monotonic() + self._added

    def time(self) -> datetime:
        return datetime.fromtimestamp(time.time() + self._added, UTC)

    def reset(self) -> None:
        """For when nothing is left that has read it."""
        self._added = 0.0

    def advance(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError(f"the clock can't go back by {-seconds} s")
        self._added += seconds
