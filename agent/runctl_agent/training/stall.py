"""Does the training still do anything? Pure: monotonic seconds are an argument."""

from __future__ import annotations

from dataclasses import dataclass

from runctl_agent.contract.summary import age

BUSY_CPU = 5
"""Percent of one core from which on its processes do something."""

BUSY_GPU = 5
"""The same of the GPUs' utilisation."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What one look shows of a living training. None: it can't be told."""

    checkpoints: int  # finished so far
    log_size: int
    cpu: int | None = None  # percent of one core
    gpu: int | None = None  # percent, the mean of all


class Stall:
    """`stalled` and `idle` are messages for people; empty: it is not."""

    def __init__(self, stalled_after: float, idle_after: float) -> None:
        """In seconds; 0: never."""
        self._stalled_after = stalled_after
        self._idle_after = idle_after
        self._before: tuple[int, int] | None = None
        self._moved_at: float | None = None
        self._gpu_busy_at: float | None = None
        self.stalled = ""
        self.idle = ""

    def look(self, signs: Signs | None, now: float) -> None:
        """None: nothing of a training lives, so nothing of it is expected."""
        if signs is None:
            self._before = self._moved_at = self._gpu_busy_at = None
            self.stalled = self.idle = ""
            return
        seen = (signs.checkpoints, signs.log_size)
        busy = (signs.cpu or 0) >= BUSY_CPU or (signs.gpu or 0) >= BUSY_GPU
        if self._moved_at is None or seen != self._before or busy:
            self._moved_at = now
        self._before = seen
        if self._gpu_busy_at is None or signs.gpu is None or signs.gpu >= BUSY_GPU:
            self._gpu_busy_at = now
        still, idle = now - self._moved_at, now - self._gpu_busy_at
        self.stalled = self.idle = ""
        if self._stalled_after and still >= self._stalled_after:
            self.stalled = f"alive, but for {age(int(still))} no new checkpoint, nothing in its log, CPU and GPU idle"
        if self._idle_after and idle >= self._idle_after:
            self.idle = f"the GPUs were idle for {age(int(idle))}: below {BUSY_GPU} %"
