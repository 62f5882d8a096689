"""A moment, as people read it: how long ago, or exactly."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from runctl_agent.contract.summary import age


@dataclass(frozen=True, slots=True)
class Moments:
    """As of `now`, in seconds since the epoch; `exact`: in UTC."""

    now: float
    exact: bool = False

    def ago(self, at: float) -> str:
        """Such as `12 s ago`, or the time."""
        return utc(at) if self.exact else f"{self.age(at)} ago"

    def since(self, at: float) -> str:
        """The same after a verb: `12 s ago`, or `since` the time."""
        return f"since {utc(at)}" if self.exact else self.ago(at)

    def age(self, at: float) -> str:
        return utc(at) if self.exact else age(max(0, int(self.now) - int(at)))


def utc(at: float) -> str:
    """Such as `2026-11-23 18:09:35Z`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
