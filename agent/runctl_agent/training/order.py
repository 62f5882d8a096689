"""Why a life of the training ends before the training does, by when, and what stands then. Pure.

Whatever takes the machine away, or ends the run, comes down to one order and one way: save, make durable, publish, let go.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from runctl_agent.contract.phases import Phase


class Cause(StrEnum):
    """The later in this list, the stronger: what somebody asked for, or what a limit decided, is not undone by a notice."""

    SHUTDOWN = "shutdown"  # the machine is being shut down
    GROUP = "group"  # an Auto Scaling group takes it
    NOTICE = "notice"  # EC2 takes it
    STOP = "stop"  # somebody asked
    LIMIT = "limit"  # the run may not go on


@dataclass(frozen=True, slots=True)
class Order:
    """`outcome` is the phase in the end, `message` the reason for people; `at`: when the machine is gone, wall-clock seconds."""

    cause: Cause
    outcome: Phase
    message: str
    at: float | None = None


def strongest(standing: Order | None, given: Order) -> Order:
    """Of two orders the stronger cause, by the earlier time.

    >>> stop = Order(Cause.STOP, Phase.STOPPED, "somebody asked")
    >>> strongest(stop, Order(Cause.NOTICE, Phase.INTERRUPTED, "spot terminate", at=120.0))
    Order(cause=<Cause.STOP: 'stop'>, outcome=<Phase.STOPPED: 'stopped'>, message='somebody asked', at=120.0)
    """
    if standing is None:
        return given
    causes = list(Cause)
    winner = max(standing, given, key=lambda order: causes.index(order.cause))
    times = [order.at for order in (standing, given) if order.at is not None]
    return replace(winner, at=min(times, default=None))
