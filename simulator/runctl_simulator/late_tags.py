"""Tags that become visible late and in part, as they may: "Eventual consistency in the Amazon EC2 API" (Developer Guide).

Pure; the clock is an argument, in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Write:
    """One CreateTags, or what is still to come of it."""

    resources: list[str]
    tags: Mapping[str, str]


@dataclass
class LateTags:
    """Off until `delay`. Writes become visible in the order in which they were made."""

    _seconds: float | None = 0.0
    _at_once: int = 0
    _held: list[tuple[float, Write]] = field(default_factory=list)

    def delay(self, seconds: float | None, *, at_once: int = 0) -> None:
        """From now on: None until they are released; of each call the first `at_once` keys are not held."""
        self._seconds = seconds
        self._at_once = at_once

    def take(self, write: Write, now: float) -> Write:
        """What of it is visible at once."""
        if self._seconds == 0.0:
            return write
        pairs = list(write.tags.items())
        due = float("inf") if self._seconds is None else now + self._seconds
        self._held.append((due, Write(write.resources, dict(pairs[self._at_once :]))))
        return Write(write.resources, dict(pairs[: self._at_once]))

    def due(self, now: float) -> list[Write]:
        """What becomes visible now; each is answered once."""
        ready = [write for due, write in self._held if due <= now]
        self._held = [(due, write) for due, write in self._held if due > now]
        return ready

    def release(self) -> list[Write]:
        """All that is held, in order."""
        return self.due(float("inf"))

    def coming(self, resource: str) -> dict[str, str]:
        """What is held for it: it counts against the limit already."""
        return {key: value for _, write in self._held if resource in write.resources for key, value in write.tags.items()}
