"""What an instance has cost, as far as that is known: its time since the last start, at the hourly price of its type. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from . import prices
from .known import Known

HOUR = 3600.0

_SINCE = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")
"""As StateTransitionReason says when a machine was stopped or terminated ("Describe instances", Amazon EC2 User Guide)."""


def paid(known: Known, now: float) -> float | None:
    """Seconds for which the newest instance was paid since it was last started; None where its end is not known."""
    machine = known.machine
    if machine is None:
        return None
    if machine.power not in ("stopped", "terminated"):
        return max(0.0, now - machine.launch_time)
    ended = _since(machine.reason)
    if ended is None and known.state is not None and known.current:
        ended = float(known.state.heartbeat)
    return None if ended is None else max(0.0, ended - machine.launch_time)


def hourly(known: Known) -> float | None:
    """US dollars."""
    return None if known.machine is None else prices.hourly(known.machine.type, known.machine.spot)


def so_far(known: Known, now: float) -> float | None:
    """US dollars, of this instance since it was last started: without disks, traffic, and what came before."""
    seconds, price = paid(known, now), hourly(known)
    return None if seconds is None or price is None else price * seconds / HOUR


def dollars(amount: float) -> str:
    return f"${amount:,.2f}"


def _since(reason: str) -> float | None:
    found = _SINCE.search(reason)
    return None if found is None else datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
