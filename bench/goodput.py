"""What of the paid time of spot instances is useful: one training over a trace, under runctl and under a shell loop. Pure.

Both have the same machines, the same training and the same rate to S3 and back. Under runctl a checkpoint is sent as soon as it
is finished, and on a notice the product's own `deadline.plan` decides what is sent and when the training is told to end. The
shell loop looks every `period` seconds: it sends what was finished then, one look after the other; on a new machine it gets the
newest alone, which a plain `aws s3 sync` would not. What is sent only in part is worth nothing. A step is useful if no later
machine had to do it again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.traces import Machine, paid
from runctl_agent.life.notices import EVERY
from runctl_agent.outlook import REACTION
from runctl_agent.training.deadline import Pending, Situation, plan

GB = 10**9
LOOK = 0.25
"""Seconds between two looks at the plan while a notice stands."""


@dataclass(frozen=True)
class Terms:
    """In seconds, bytes, and bytes per second."""

    size: float
    rate: float = 1.25 * GB
    disk: float = 2 * GB  # at which the trainer saves, and does nothing else
    step: float = 1.0
    every: float = 600.0  # of training between two saves
    machine: float = 60.0  # from an instance's first paid second to the first of its user-data
    start: float = 5.0  # from there to the training's start, but for the checkpoint's way back: runctl
    baseline_start: float = 5.0  # and the shell loop
    settle: float = 0.2  # from a finished file to its first byte on the wire
    overhead: float = 1.0  # of each checkpoint: verified and committed
    notice: float = 120.0
    period: float = 60.0
    scan: float = 1.0  # before a sync sends anything: its start and its listing

    @property
    def save(self) -> float:
        return self.size / self.disk

    @property
    def way(self) -> float:
        """To S3, or back."""
        return self.size / self.rate


@dataclass(frozen=True)
class Training:
    """From `begin` on at `base` steps, saving for `save` seconds after every `every`."""

    begin: float
    base: int
    terms: Terms

    def steps(self, now: float) -> int:
        cycles, rest = self._cycles(now)
        trained = cycles * self.terms.every + min(rest, self.terms.every)
        return self.base + math.floor(trained / self.terms.step + 1e-9)

    def saves(self, after: float, until: float) -> list[tuple[float, int]]:
        """When each was finished, and the step in it; `after` < when <= `until`."""
        first = 1 if after < self.begin else max(1, self._cycles(after)[0])  # one too many: the times decide
        found = []
        for number in range(first, first + 3 + int(max(0.0, until - max(after, self.begin)) / self._cycle)):
            done = self.begin + number * self._cycle
            if after < done <= until:
                found.append((done, self._saved(number)))
        return found

    def last_save(self, told: float) -> tuple[float, int]:
        """Of a training that is told to end and saves: the one that it is at, or one after the step that it is at."""
        cycles, rest = self._cycles(told)
        if rest >= self.terms.every:
            return self.begin + (cycles + 1) * self._cycle, self._saved(cycles + 1)
        stop = math.ceil(rest / self.terms.step - 1e-9) * self.terms.step
        return self.begin + cycles * self._cycle + stop + self.terms.save, self.steps(told - rest + stop)

    @property
    def _cycle(self) -> float:
        return self.terms.every + self.terms.save

    def _saved(self, number: int) -> int:
        return self.base + math.floor(number * self.terms.every / self.terms.step + 1e-9)

    def _cycles(self, now: float) -> tuple[int, float]:
        whole = max(0.0, now - self.begin)
        cycles = math.floor(whole / self._cycle + 1e-9)
        return cycles, max(0.0, whole - cycles * self._cycle)


@dataclass
class Item:
    step: int
    ready: float
    left: float  # seconds of sending


@dataclass
class Sender:
    """One checkpoint at a time, the newest first; by a plan in its order, at once."""

    now: float
    committed: int
    waiting: list[Item] = field(default_factory=list)
    current: Item | None = None
    sent: float = 0.0

    def advance(self, to: float, order: Sequence[int] | None = None) -> None:
        while self.now < to:
            there = [item for item in self.waiting if item.ready <= self.now]
            if not there:
                self.now = min([to, *(item.ready for item in self.waiting)])
                continue
            if order is not None:
                self.current = min(there, key=lambda item: order.index(item.step) if item.step in order else len(order))
            elif self.current not in there:
                self.current = max(there, key=lambda item: item.step)
            assert self.current is not None
            spent = min(self.current.left, to - self.now)
            self.current.left -= spent
            self.now += spent
            self.sent += spent
            if self.current.left <= 1e-9:
                self.waiting.remove(self.current)
                self.committed = max(self.committed, self.current.step)
                self.current = None


Live = Callable[[Terms, Machine, int], tuple[int, int]]
"""One machine's life, from the steps that are safe: to those that are safe at its end, and those that were done."""


def runctl(terms: Terms, machine: Machine, safe: int, *, saves_on_signal: bool = True) -> tuple[int, int]:
    training = Training(machine.begin + terms.machine + terms.start + (terms.way if safe else 0.0), safe, terms)
    if training.begin >= machine.end:
        return safe, safe
    sender = Sender(training.begin, safe)
    seen = machine.end - terms.notice + EVERY  # at the last moment that the look-out has
    if not machine.notice or seen <= training.begin:
        _send(sender, training, machine.end, terms)
        return sender.committed, training.steps(machine.end)
    _send(sender, training, seen, terms)
    done = _noticed(sender, training, machine.end, terms, saves_on_signal=saves_on_signal)
    return sender.committed, done


def _send(sender: Sender, training: Training, until: float, terms: Terms) -> None:
    for done, step in training.saves(training.begin - 1.0, until):
        sender.advance(done)
        _add(sender, done, step, terms)
    sender.advance(until)


def _add(sender: Sender, done: float, step: int, terms: Terms) -> None:
    sender.waiting.append(Item(step, done + terms.settle, terms.way + terms.overhead))


def _noticed(sender: Sender, training: Training, end: float, terms: Terms, *, saves_on_signal: bool) -> int:
    """Until the machine is gone, by the product's own plan; the steps that were done."""
    stopped: float | None = None
    most = 0
    now = last = sender.now
    while now < end:
        if stopped is None:
            for done, step in training.saves(last, now):
                _add(sender, done, step, terms)
            last = now
        known = bool(training.saves(training.begin - 1.0, now if stopped is None else stopped))
        pending = tuple(
            Pending(item.step, int(item.left * terms.rate), (item.step,), sending=item is sender.current)
            for item in sender.waiting
            if item.ready <= now
        )
        made = plan(
            Situation(
                now=now,
                at=end,
                pending=pending,
                rate=terms.rate if sender.sent >= 1.0 else None,
                alive=stopped is None,
                saves_on_signal=saves_on_signal,
                save_seconds=REACTION + terms.save if known else None,
                save_bytes=int(terms.size) if known else None,
            )
        )
        if stopped is None and now >= made.signal_at:
            stopped = now
            if saves_on_signal:
                ready, most = training.last_save(now)
                if ready <= made.end_at:
                    _add(sender, ready, most, terms)
        sender.advance(min(now + LOOK, end), (*made.send, *made.give_up))
        now += LOOK
    return max(most, training.steps(end if stopped is None else stopped))


def shell_loop(terms: Terms, machine: Machine, safe: int) -> tuple[int, int]:
    training = Training(machine.begin + terms.machine + terms.baseline_start + (terms.way if safe else 0.0), safe, terms)
    if training.begin >= machine.end:
        return safe, safe
    committed, looked, number = safe, training.begin - 1.0, 0
    while (began := training.begin + number * terms.period) < machine.end:
        at = began + terms.scan
        for _, step in training.saves(looked, began):
            at += terms.way
            if at <= machine.end:
                committed = step
        looked = began
        number = max(number + 1, math.ceil((at - training.begin) / terms.period - 1e-9))
    return committed, training.steps(machine.end)


def nothing_lost(terms: Terms, machine: Machine, safe: int) -> tuple[int, int]:
    """What no system can beat: each machine begins where the last one ended, to the step."""
    training = Training(machine.begin + terms.machine + (terms.way if safe else 0.0), safe, terms)
    done = training.steps(machine.end) if training.begin < machine.end else safe
    return done, done


def useful(live: Live, terms: Terms, machines: Sequence[Machine]) -> int:
    """Steps."""
    safe = done = 0
    for machine in machines:
        safe, done = live(terms, machine, safe)
        if machine.taken:
            done = safe
    return done


def goodput(live: Live, terms: Terms, machines: Sequence[Machine]) -> float:
    return useful(live, terms, machines) * terms.step / paid(machines)
