"""How fast what is pending gets to S3, and how evenly. Pure: the clock is an argument, in monotonic seconds."""

from __future__ import annotations

from collections import deque
from statistics import pstdev

WINDOW = 60.0

STRETCH = 5.0
"""Seconds of sending that are compared with each other: parts land in lumps."""

UNEVEN = 0.25
"""The share of the mean that is taken for the spread, where too little was seen to tell."""


class Rate:
    """Over the last WINDOW, of which only the time counts in which there was something to send."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int, float]] = deque()  # when; bytes sent, and seconds of sending, until then
        self._pending = False

    def sample(self, now: float, sent: int, *, pending: bool) -> int:
        """Bytes per second. `sent`: since whenever, parts of what is not complete yet too; `pending`: something is left."""
        busy = 0.0
        if self._samples:
            at, before, busy = self._samples[-1]
            if self._pending or pending or sent != before:
                busy += now - at
        self._samples.append((now, sent, busy))
        self._pending = pending
        while len(self._samples) > 2 and now - self._samples[1][0] >= WINDOW:  # the first is the base of the sum
            self._samples.popleft()
        _, before, idle_until = self._samples[0]
        return int((sent - before) / (busy - idle_until)) if busy > idle_until else 0

    @property
    def busy(self) -> float:
        """Seconds of sending that the mean is made of."""
        return self._samples[-1][2] - self._samples[0][2] if self._samples else 0.0

    def spread(self, mean: float) -> float:
        """The standard deviation between stretches of sending, bytes per second."""
        rates: list[float] = []
        _, sent_before, busy_before = self._samples[0] if self._samples else (0.0, 0, 0.0)
        for _, sent, busy in self._samples:
            if busy - busy_before >= STRETCH:
                rates.append((sent - sent_before) / (busy - busy_before))
                sent_before, busy_before = sent, busy
        return pstdev(rates) if len(rates) > 1 else UNEVEN * mean


def eta(pending: int, rate: int) -> int | None:
    """Seconds until `pending` bytes are sent, rounded up; None if nothing is, or nothing moves.

    >>> eta(100, 30), eta(0, 30), eta(100, 0)
    (4, None, None)
    """
    return -(-pending // rate) if pending and rate else None
