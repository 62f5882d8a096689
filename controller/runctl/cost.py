"""What an instance has cost, as far as that is known: its time since the last start, at the hourly price of its type. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from . import prices
from .known import Known

HOUR = 3600.0
SMALLEST = 0.01
"""US dollars that are shown as more than nothing."""

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


@dataclass(frozen=True, slots=True)
class Cost:
    """US dollars, of one instance since it was last started: without disks, traffic, and what came before.

    `hourly` is the price that it is counted by; `bound`: that of on demand, for a spot instance whose own is not known.
    """

    amount: float
    hourly: float
    bound: bool

    @property
    def text(self) -> str:
        return ("<" if self.upper else "") + self.shown

    @property
    def upper(self) -> bool:
        """Whether it is less than is shown."""
        return self.bound or self.amount < SMALLEST / 2

    @property
    def shown(self) -> str:
        return dollars(max(SMALLEST, self.amount))


def so_far(known: Known, now: float) -> Cost | None:
    """None where the price of its type, or its end, is not known."""
    machine, seconds = known.machine, paid(known, now)
    if machine is None or seconds is None:
        return None
    own = prices.hourly(machine.type, machine.spot)
    price = prices.hourly(machine.type, False) if own is None else own
    return None if price is None else Cost(price * seconds / HOUR, price, own is None)


def dollars(amount: float) -> str:
    return f"${amount:,.2f}"


def _since(reason: str) -> float | None:
    found = _SINCE.search(reason)
    try:
        return None if found is None else datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
    except ValueError:  # 36 o'clock, as no EC2 has said yet
        return None
