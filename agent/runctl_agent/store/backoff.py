"""How long to wait before a failed upload is tried again."""

from __future__ import annotations

BASE = 1.0
CAP = 60.0
PERMANENT_BASE = 30.0
PERMANENT_CAP = 600.0


LONGEST = max(CAP, PERMANENT_CAP)
"""What is to be tried again later than so many seconds from now was put off under a clock that was set back since: it is due."""


def is_due(next_try: float, now: float) -> bool:
    """Wall-clock seconds both.

    >>> [is_due(at, 1000.0) for at in (0.0, 1000.0, 1001.0, 1600.0, 4600.0)]
    [True, True, False, False, True]
    """
    return not now < next_try <= now + LONGEST


def backoff(attempt: int, roll: float, *, permanent: bool = False) -> float:
    """Seconds to wait after failure number `attempt` (from 1): exponential, full jitter; `roll` is uniform in [0, 1).

    Errors that retrying can't mend are tried again too, only more slowly: someone may mend them.
    Source: "Exponential Backoff And Jitter", AWS Architecture Blog.

    >>> [backoff(n, 1.0) for n in (1, 2, 3, 7, 1000)]
    [1.0, 2.0, 4.0, 60.0, 60.0]
    >>> backoff(1, 0.5, permanent=True)
    15.0
    """
    base, cap = (PERMANENT_BASE, PERMANENT_CAP) if permanent else (BASE, CAP)
    exponent = min(max(attempt, 1), 32) - 1  # beyond 32 the cap holds, and a float could overflow
    return roll * min(cap, base * 2.0**exponent)
