"""Request throttling by token buckets, per action: "Request throttling for the Amazon EC2 API" (Amazon EC2 Developer Guide).

That page gives the sizes for each account and region. The clock is an argument, in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .query import Query
from .refusal import Refused

FILTERED, UNFILTERED, MUTATING = (100, 20), (50, 10), (50, 5)
SIZES = {
    "CreateTags": (100, 10),
    "DeleteTags": (100, 10),
    "RunInstances": (5, 2),
    "StartInstances": (5, 2),
    "StopInstances": (50, 5),
    "TerminateInstances": (100, 5),
}
"""Action to (bucket, refill a second)."""

_READING = ("Describe", "Get", "List")
_PAGED = ("Filter.", "MaxResults", "NextToken")


@dataclass
class _Bucket:
    tokens: float
    at: float


@dataclass
class Throttle:
    """Every request takes a token; without one it is refused and takes none."""

    _sizes: dict[str, tuple[float, float]] = field(default_factory=dict)
    _buckets: dict[str, _Bucket] = field(default_factory=dict)

    def set(self, action: str, bucket: float, refill: float) -> None:
        """From now on, with a full bucket."""
        self._sizes[action] = (bucket, refill)
        self._buckets = {name: left for name, left in self._buckets.items() if name.split("?")[0] != action}

    def reset(self) -> None:
        """Back to AWS's own, all of them full."""
        self._sizes.clear()
        self._buckets.clear()

    def take(self, query: Query, now: float) -> None:
        """Raises Refused: RequestLimitExceeded, with HTTP 503."""
        name, (size, refill) = self._of(query)
        bucket = self._buckets.setdefault(name, _Bucket(size, now))
        bucket.tokens = min(size, bucket.tokens + (now - bucket.at) * refill)
        bucket.at = now
        if bucket.tokens < 1:
            raise Refused("RequestLimitExceeded", "Request limit exceeded.", 503)
        bucket.tokens -= 1

    def _of(self, query: Query) -> tuple[str, tuple[float, float]]:
        action = query.action
        if action in self._sizes:
            return action, self._sizes[action]
        if action.startswith(_READING):
            small = action.startswith("Describe") and not any(query.starts_with(name) for name in _PAGED)
            return (f"{action}?unfiltered", UNFILTERED) if small else (action, FILTERED)
        return action, SIZES.get(action, MUTATING)
