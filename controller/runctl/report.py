"""A run's life in figures: attempts, what took them, what was safe when, what it cost. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypedDict

from runctl_agent.contract.history import Moment
from runctl_agent.contract.phases import TERMINAL, Phase

from . import prices
from .past import Past

HOUR = 3600.0
POINTS = 600
"""Of a line at most: as many as a screen shows."""

Point = tuple[int, float]
"""A moment in seconds since the epoch, and a value."""


class ReportedAttempt(TypedDict):
    """One machine's part of a run. `taken`: it neither ended by itself nor because somebody asked."""

    epoch: int
    attempt: int
    instance: str
    began: int
    ended: int
    phase: str
    notice: str
    taken: bool
    first_step: int | None
    last_step: int | None
    safe_step: int | None


class Reported(TypedDict):
    """Times in seconds since the epoch, sizes in bytes; `paid` in seconds. `cost` in US dollars; `cost_bound`: at most."""

    run: str
    phase: str
    exit_code: int | None
    began: int
    ended: int
    paid: int
    committed: int
    incomplete: int
    sent: int
    saved: int
    most_behind: int
    cost: float | None
    cost_bound: bool
    attempts: list[ReportedAttempt]


@dataclass(frozen=True)
class Stretch:
    """One epoch: one attempt on one machine, as far as it was heard of. Steps as the training told them."""

    epoch: int
    attempt: int
    instance: str
    began: int
    ended: int
    phase: Phase
    notice: str
    first_step: int | None
    last_step: int | None
    safe_step: int | None

    @property
    def taken(self) -> bool:
        """Whether it did not end by itself, nor because somebody asked."""
        return self.phase not in TERMINAL or self.phase is Phase.INTERRUPTED

    @property
    def how(self) -> str:
        if self.phase in TERMINAL:
            return str(self.phase) + (f" ({self.notice})" if self.notice else "")
        return f"lost while {self.phase}"


@dataclass(frozen=True)
class Report:
    """Times in seconds since the epoch, sizes in bytes, `cost` in US dollars; None: not known."""

    run: str
    stretches: Sequence[Stretch]
    began: int
    ended: int
    phase: str
    exit_code: int | None
    committed: int
    incomplete: int
    sent: int
    saved: int
    most_behind: int
    cost: float | None
    bound: bool
    lines: dict[str, list[Point]] = field(default_factory=dict)
    saves: Sequence[tuple[float, str, bool]] = ()  # when, its name, complete

    @property
    def paid(self) -> int:
        """Seconds in which an agent was heard, of all machines."""
        return sum(one.ended - one.began for one in self.stretches)

    def plain(self) -> Reported:
        return {
            "run": self.run,
            "phase": self.phase,
            "exit_code": self.exit_code,
            "began": self.began,
            "ended": self.ended,
            "paid": self.paid,
            "committed": self.committed,
            "incomplete": self.incomplete,
            "sent": self.sent,
            "saved": self.saved,
            "most_behind": self.most_behind,
            "cost": self.cost,
            "cost_bound": self.bound,
            "attempts": [_plain(one) for one in self.stretches],
        }


def report(past: Past) -> Report:
    told = [moment for epoch in past.history.values() for moment in epoch]
    stretches = _stretches(past)
    last = past.state
    began = min((one.began for one in stretches), default=last.heartbeat if last is not None else 0)
    ended = max((one.ended for one in stretches), default=began)
    seconds = sum(one.ended - one.began for one in stretches)
    own = prices.hourly(past.type, past.spot)
    price = prices.hourly(past.type, False) if own is None else own
    return Report(
        run=past.run,
        stretches=stretches,
        began=began,
        ended=ended,
        phase=str(last.phase) if last is not None else str(told[-1].phase),
        exit_code=last.exit_code if last is not None else None,
        committed=sum(one.manifest.complete for one in past.checkpoints),
        incomplete=sum(not one.manifest.complete for one in past.checkpoints),
        sent=sum(one.sent for one in past.checkpoints),
        saved=sum(one.saved for one in past.checkpoints),
        most_behind=max((one.pending_bytes for one in told), default=0),
        cost=None if price is None else price * seconds / HOUR,
        bound=own is None and price is not None,
        lines={
            "step": _line(told, lambda one: one.step),
            "safe": _line(told, lambda one: one.safe_step),
            "behind": _line(told, lambda one: one.pending_bytes),
            "rate": _line(told, lambda one: one.rate),
            "gpu": _line(told, lambda one: one.gpu),
            "loss": _line(told, lambda one: one.loss),
        },
        saves=sorted((one.manifest.created, one.manifest.checkpoint, one.manifest.complete) for one in past.checkpoints),
    )


def thinned(points: Sequence[Point], most: int = POINTS) -> list[Point]:
    """The ends, and of each of so many equal parts the highest: a peak is never left out."""
    if len(points) <= most:
        return list(points)
    size = len(points) / (most - 2)
    parts = (points[int(n * size) : int((n + 1) * size)] for n in range(most - 2))
    return [points[0], *(max(part, key=lambda point: point[1]) for part in parts if part), points[-1]]


def _stretches(past: Past) -> list[Stretch]:
    found = []
    for epoch, told in past.history.items():
        steps = [one.step for one in told if one.step is not None]
        safe = [one.safe_step for one in told if one.safe_step is not None]
        found.append(
            Stretch(
                epoch,
                max(one.attempt for one in told),
                next((one.instance for one in told if one.instance), ""),
                told[0].at,
                max(one.at for one in told),
                told[-1].phase,
                next((one.notice for one in reversed(told) if one.notice), ""),
                min(steps, default=None),
                max(steps, default=None),
                max(safe, default=None),
            )
        )
    if found and past.state is not None and past.state.epoch == found[-1].epoch and found[-1].phase not in TERMINAL:
        # The last line of the history may be minutes old; status.json is not.
        found[-1] = replace(found[-1], phase=past.state.phase, ended=max(found[-1].ended, past.state.heartbeat))
    return found


def _line(told: Iterable[Moment], value: Callable[[Moment], float | None]) -> list[Point]:
    return thinned([(one.at, float(found)) for one in told if (found := value(one)) is not None])


def _plain(one: Stretch) -> ReportedAttempt:
    return {
        "epoch": one.epoch,
        "attempt": one.attempt,
        "instance": one.instance,
        "began": one.began,
        "ended": one.ended,
        "phase": str(one.phase),
        "notice": one.notice,
        "taken": one.taken,
        "first_step": one.first_step,
        "last_step": one.last_step,
        "safe_step": one.safe_step,
    }
