"""When a state may be published again. Pure; all times are seconds of the monotonic clock.

Every call takes a token from a bucket, answered or not, so that no flapping can cost more than the bucket's rate: for tags a
burst of 8, a short life with what it is asked, then 2 a minute. The last tokens are kept for what matters most: ordinary
changes and heartbeats leave 3, conditions leave 1, a phase may take the last.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum


class Urgency(IntEnum):
    """What waits to be published; greater goes sooner."""

    HEARTBEAT = 0  # nothing changed
    CHANGE = 1  # coalesced
    CONDITION = 2  # at once
    PHASE = 3  # at once, and a new try even while backing off
    LAST = 4  # the agent is ending: past the bucket


RESERVE = {Urgency.HEARTBEAT: 3, Urgency.CHANGE: 3, Urgency.CONDITION: 1, Urgency.PHASE: 0, Urgency.LAST: 0}
"""Tokens that a call of each urgency must leave."""

STRETCH_GROWTH = 2.0  # at the first throttled call after an answered one
STRETCH_DECAY = 0.85  # at each answered call: a fleet settles where about one call in five is throttled
STRETCH_LIMIT = 40.0
LONGEST_UNCHANGED = 3600.0
LOCAL_LONGEST = 10.0
"""Seconds until a file of this machine is tried again."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Seconds between calls: for changes, for a state that did not change, for a token of the bucket to come back."""

    change_every: float
    unchanged_every: float
    refill_every: float
    burst: int = 6
    back_off_first: float = 1.0
    back_off_longest: float = 120.0
    refused_first: float = 15.0
    refused_longest: float = 300.0
    stretches: bool = False  # throttled: everything that is not urgent comes less often


TAG_RULES = Rules(change_every=30.0, unchanged_every=300.0, refill_every=30.0, burst=8, stretches=True)


def status_rules(heartbeat: float) -> Rules:
    """`status.json` in S3: every heartbeat, phases and conditions at once."""
    return Rules(change_every=heartbeat, unchanged_every=heartbeat, refill_every=min(10.0, heartbeat))


def local_rules(heartbeat: float) -> Rules:
    """The local status file: every heartbeat, and changes within a second."""
    return Rules(
        change_every=min(1.0, heartbeat), unchanged_every=heartbeat, refill_every=0.1, burst=20, back_off_longest=LOCAL_LONGEST
    )


def spread(name: str) -> float:
    """Where in [0, 1) of an interval `name` has its place, so that a fleet launched at once does not publish at once."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "big") / 2**64


class Bucket:
    """A token bucket, full at first. `take` may go below zero; what was taken too much has to come back first."""

    def __init__(self, burst: int, refill_every: float, now: float) -> None:
        self._burst = float(burst)
        self._refill_every = refill_every
        self._tokens = float(burst)
        self._at = now

    def take(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._at) / self._refill_every) - 1.0
        self._at = now

    def time_of(self, tokens: float) -> float:
        """From when on there are `tokens`."""
        return self._at + max(0.0, tokens - self._tokens) * self._refill_every


class Pace:
    """The schedule of one publication. The caller says what happened; `due` says when the next call may go."""

    def __init__(self, rules: Rules, now: float, place: float) -> None:
        """`place` in [0, 1) is where in the interval this instance's heartbeats lie; see `spread`."""
        self._rules = rules
        self._anchor = now + place * rules.unchanged_every
        self._start = now
        self._last_call: float | None = None
        self._bucket = Bucket(rules.burst, rules.refill_every, now)
        self._attempts = 0
        self._not_before = now
        self._stretch = 1.0

    @property
    def stretch(self) -> float:
        return self._stretch

    def due(self, urgency: Urgency) -> float:
        """When a call of this urgency may go; a time that has passed means now."""
        match urgency:
            case Urgency.LAST:
                return self._not_before
            case Urgency.HEARTBEAT:
                wanted = self._heartbeat()
            case Urgency.CHANGE:
                wanted = min(self._coalesced(), self._heartbeat())
            case _:
                wanted = self._start
        return max(wanted, self._not_before, self._bucket.time_of(RESERVE[urgency] + 1))

    def _coalesced(self) -> float:
        return self._start if self._last_call is None else self._last_call + self._rules.change_every * self._stretch

    def _heartbeat(self) -> float:
        """On a grid of the instance's own, where a point just after another call is left out; never later than one interval."""
        if self._last_call is None:
            return self._anchor
        every = self._rules.unchanged_every
        if self._stretch > 1.0:
            return self._last_call + max(every, min(every * self._stretch, LONGEST_UNCHANGED))
        earliest = self._last_call + min(self._rules.change_every, every / 2)
        return min(earliest + (self._anchor - earliest) % every, self._last_call + every)

    def called(self, now: float) -> None:
        """A call is going out."""
        self._bucket.take(now)
        self._last_call = now

    def done(self) -> None:
        """It was answered, and well."""
        self._attempts = 0
        self._not_before = self._start
        self._stretch = max(1.0, self._stretch * STRETCH_DECAY)

    def throttled(self, now: float, roll: float) -> None:
        """It was refused for the rate of all callers together; `roll` is uniform in [0, 1)."""
        if self._attempts == 0 and self._rules.stretches:
            self._stretch = min(STRETCH_LIMIT, self._stretch * STRETCH_GROWTH)
        self.failed(now, roll)

    def failed(self, now: float, roll: float) -> None:
        """No answer, or a bad one: exponential back-off with full jitter."""
        self._back_off(now, roll, self._rules.back_off_first, self._rules.back_off_longest)

    def refused(self, now: float, roll: float) -> None:
        """Trying again can't mend it; someone else may."""
        self._back_off(now, (1.0 + roll) / 2.0, self._rules.refused_first, self._rules.refused_longest)

    def _back_off(self, now: float, share: float, first: float, longest: float) -> None:
        ceiling = min(longest, first * 2.0 ** min(self._attempts, 32))
        self._attempts += 1
        self._not_before = now + share * ceiling

    def hasten(self, now: float) -> None:
        """Something new that can't wait: the back-off begins again with a call now."""
        self._attempts = 0
        self._not_before = min(self._not_before, now)
