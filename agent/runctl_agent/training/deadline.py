"""What can still be saved before the machine is gone. Pure: times are wall-clock seconds, sizes bytes, rates bytes per second.

One checkpoint is sent at a time, and the newest that *can finish* comes first. Training goes on for as long as that loses
nothing: a trainer that saves on its stop signal is signalled as late as its last checkpoint can still be made and sent, any
other only when nothing that it writes could be sent any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MARGIN = 5.0
"""Seconds before the end by which everything is said: the last commit and the last state. No second after it is counted on."""

LAST_WORDS = 5.0
"""Seconds between the stop signal and SIGKILL of a training whose last checkpoint nobody waits for."""

SLACK = 2.0
"""Seconds by which a signal goes before the last moment: the plan is looked at a few times a second, and rates waver."""

RATE = 50e6
"""Taken where nothing was ever sent: what the smaller GPU instances have of network for hours on end."""

SAVE = 20.0
"""Seconds that a trainer takes to save, where it was not seen saving yet."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A checkpoint on its way. `bytes` are left to send; the higher `order`, the newer."""

    id: int
    bytes: int
    order: tuple[int, ...]
    weights: bool = True
    complete: bool = True
    sending: bool = False


@dataclass(frozen=True, slots=True)
class Situation:
    """All that is known at `now` of what can be done until `at`. None: not known yet."""

    now: float
    at: float
    pending: tuple[Pending, ...] = ()
    rate: float | None = None  # the mean
    spread: float = 0.0  # its standard deviation
    overhead: float = 1.0  # seconds a checkpoint, whatever its size
    alive: bool = True  # the training
    saves_on_signal: bool = False
    save_seconds: float | None = None  # from its first byte to its last, as it was seen
    save_bytes: int | None = None  # of a checkpoint of this training
    grace: float = 60.0  # what the training may take to end, where there is time


@dataclass(frozen=True, slots=True)
class Plan:
    """`send`: what can finish, in the order of sending; `give_up`: what can't, and is sent only when nothing else is left.

    `signal_at`: when the training is sent its stop signal; `end_at`: when it is killed. `save`: a last checkpoint can be made
    and sent. `message` is for people.
    """

    send: tuple[int, ...]
    give_up: tuple[int, ...]
    signal_at: float
    end_at: float
    save: bool
    message: str


def plan(situation: Situation) -> Plan:
    horizon = situation.at - MARGIN
    end_at = max(situation.now, horizon - 1.0)
    chosen = choose(situation)
    given_up = [one for one in ranked(situation.pending) if one not in chosen]
    newest = newest_of(chosen)
    spent = seconds(situation, newest.bytes) if newest is not None else 0.0
    save, signal_at = False, max(situation.now, end_at - min(situation.grace, LAST_WORDS))
    if situation.alive and situation.saves_on_signal:
        save, signal_at = _last_checkpoint(situation, horizon, spent, signal_at)
    return Plan(
        send=tuple(one.id for one in chosen),
        give_up=tuple(one.id for one in given_up),
        signal_at=signal_at,
        end_at=end_at,
        save=save,
        message=_message(situation, chosen, given_up, save=save),
    )


def ranked(pending: Iterable[Pending]) -> list[Pending]:
    """The order of worth: complete before incomplete, with weights before without, newer before older."""
    return sorted(pending, key=lambda one: (one.complete, one.weights, one.order, one.id), reverse=True)


def newest_of(chosen: Sequence[Pending]) -> Pending | None:
    """What is worth most of what is sent."""
    return next(iter(ranked(chosen)), None)


def choose(situation: Situation) -> list[Pending]:
    """What can finish, in the order of sending: the worthiest that fits, then the worthiest that fits beside it, and so on.

    What is being sent and among them goes first where all of them fit: to turn away from it would gain nothing.
    """
    left = situation.at - MARGIN - situation.now
    chosen: list[Pending] = []
    for one in ranked(situation.pending):
        took = seconds(situation, one.bytes)
        if took <= left:
            chosen.append(one)
            left -= took
    return sorted(chosen, key=lambda one: not one.sending)


def seconds(situation: Situation, size: int) -> float:
    """What sending takes at a rate that it is likely to have: the mean less its spread, but never below half of it."""
    rate = situation.rate or RATE
    return size / max(rate - situation.spread, rate / 2) + situation.overhead


def _last_checkpoint(situation: Situation, horizon: float, spent: float, otherwise: float) -> tuple[bool, float]:
    """Whether a last checkpoint can be made and sent beside the newest that is there, and when to ask for it.

    It is made while that is sent, and then sent itself. A checkpoint that stands is never risked for one that is promised.
    """
    making = situation.save_seconds if situation.save_seconds is not None else SAVE
    if situation.save_seconds is not None and making > situation.grace:
        return False, otherwise  # it would be killed before it is done
    if situation.save_bytes is None and situation.now + making <= horizon:
        return True, situation.now  # nothing is known of it: the more time the better
    sending = seconds(situation, situation.save_bytes or 0)
    if situation.now + max(making, spent) + sending > horizon:
        return False, otherwise
    return True, max(situation.now, min(otherwise, horizon - sending - making - SLACK))


def _message(situation: Situation, chosen: Sequence[Pending], given_up: Sequence[Pending], *, save: bool) -> str:
    left = max(0.0, situation.at - situation.now)
    parts = [f"{left:.0f} s left"]
    if chosen:
        parts.append(f"{len(chosen)} pending can be sent")
    if given_up:
        parts.append(f"{len(given_up)} can't")
    if situation.alive and situation.saves_on_signal:
        parts.append("a last checkpoint can be made" if save else "no time for a last checkpoint")
    return ", ".join(parts)
