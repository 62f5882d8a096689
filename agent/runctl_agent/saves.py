"""How long the trainer takes to save, and how much, as it is seen on the disk. Pure: monotonic seconds are an argument."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from .records import Finished

KEPT = 5
"""Saves that are remembered: the slowest of them counts."""

LONGEST = 1800.0
"""Seconds; what was first seen longer ago was no save in one go."""


class Save(NamedTuple):
    seconds: float
    bytes: int


class Saves:
    """Of checkpoints with weights, complete ones. One task tells, others ask."""

    def __init__(self, before: Iterable[Save] = ()) -> None:
        self._seen: dict[tuple[str, str], float] = {}
        self._last: deque[Save] = deque(before, KEPT)

    def waits(self, candidates: Iterable[tuple[str, str]], now: float) -> None:
        """What is on disk and not finished, after what has `finished` was told: all of it, at every look."""
        self._seen = {candidate: self._seen.get(candidate, now) for candidate in candidates}

    def finishes(self, finished: Finished, now: float) -> None:
        began = self._seen.pop((finished.root, finished.name), now)
        if finished.weights and finished.complete and now - began < LONGEST:
            self._last.append(Save(now - began, finished.size))

    @property
    def known(self) -> tuple[Save, ...]:
        return tuple(self._last)

    @property
    def seconds(self) -> float | None:
        """What a save takes; None before the first."""
        return max((save.seconds for save in self.known), default=None)

    @property
    def bytes(self) -> int | None:
        """What the next will have, as far as the last ones tell."""
        return max((save.bytes for save in self.known), default=None)
