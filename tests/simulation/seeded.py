"""A seeded scheduler on a virtual clock: every task is a greenlet, one thread runs them all, and any group can be killed.

A killed group is never run again and, as after `kill -9`, none of its `finally` blocks run. Switches happen where the
agent sleeps or waits, and wherever a port calls `Seeded.step`.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType

from greenlet import GreenletExit, getcurrent, greenlet

EPOCH = 1_800_000_000.0


class Stuck(AssertionError):
    """Every task waits for something that no other can bring about."""


class SimEvent:
    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._set = False

    def set(self) -> None:
        self._set = True

    def clear(self) -> None:
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def wait(self, timeout: float | None = None) -> bool:
        self._scheduler.block(timeout, self)
        return self._set


class SimLock(AbstractContextManager[object]):
    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._held = False

    def __enter__(self) -> object:
        while self._held:
            self._scheduler.block(None, lambda: not self._held)
        self._held = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._held = False


class SimTask:
    """One greenlet. It is runnable when what it `awaited` is set, when `ready()`, or at `wake_at`."""

    def __init__(self, scheduler: Scheduler, group: str, name: str, work: Callable[[], None]) -> None:
        self.group = group
        self.name = name
        self.mark = f"{group} {name}\n".encode()
        self.error: BaseException | None = None
        self.done = False
        self.wake_at: float | None = scheduler.mono
        self.awaited: SimEvent | None = None
        self.ready: Callable[[], bool] | None = None
        self._scheduler = scheduler
        self._work = work
        self.greenlet = greenlet(self._run)

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:
            self.error = error
        self.done = True

    def join(self, timeout: float | None = None) -> bool:
        self._scheduler.block(timeout, lambda: self.done)
        return self.done


OPEN: list[Scheduler] = []
"""Suspended greenlets are never collected: their frames hold the scheduler, and it holds them."""

UNWINDING = 20
"""Times that a task may go on in its `finally` blocks."""


class Clock:
    """The wall clock of one machine; `skew` is what it has been set by."""

    def __init__(self) -> None:
        self.skew = 0.0


class Scheduler:
    """Runs tasks one switch at a time, in an order that only the seed decides. `on_step` is called after every switch.

    `mark` sums up which tasks ran, in which order: two runs with the same one took the same course. `chance` is what the
    tasks roll their dice with, so that the order does not hang on how often they do.
    """

    def __init__(self, seed: int, on_step: Callable[[], None] = lambda: None) -> None:
        self.rng = random.Random(seed)
        self.chance = random.Random(f"chance {seed}")
        self.mono = 1000.0
        self.steps = 0
        self.mark = 0
        self.on_step = on_step
        self.on_turn: Callable[[SimTask], None] | None = None
        self.failed: list[SimTask] = []
        self._tasks: list[SimTask] = []
        self._graves: list[SimTask] = []
        self._running: SimTask | None = None
        self._ended = False
        self._hub = getcurrent()
        self._at_end: list[Callable[[], None]] = []
        OPEN.append(self)

    def spawn(self, group: str, name: str, work: Callable[[], None]) -> SimTask:
        task = SimTask(self, group, name, work)
        task.greenlet.parent = self._hub
        self._tasks.append(task)
        return task

    def runtime(self, group: str, clock: Clock | None = None) -> Seeded:
        return Seeded(self, group, clock or Clock())

    def kill(self, group: str) -> None:
        """End a group between two switches. Its greenlets are kept: collecting them would run their `finally` blocks."""
        self._graves.extend(t for t in self._tasks if t.group == group)
        self._tasks = [t for t in self._tasks if t.group != group]
        self.failed = [t for t in self.failed if t.group != group]

    def at_end(self, close: Callable[[], None]) -> None:
        self._at_end.append(close)

    def end(self) -> None:
        """Let go of all that the tasks still hold, once nobody looks at their world any more."""
        self._ended = True
        held = [task.greenlet for task in (*self._graves, *self._tasks)]
        self._graves, self._tasks = [], []
        for one in held:
            for _ in range(UNWINDING):
                if not one:
                    break
                one.throw(GreenletExit)
        for close in self._at_end:
            close()

    def tasks(self, group: str) -> list[SimTask]:
        return [t for t in self._tasks if t.group == group]

    def block(self, timeout: float | None, ready: Callable[[], bool] | SimEvent | None) -> None:
        """Give way until `ready()`, or until it is set, or for at most `timeout` virtual seconds."""
        task = self._running
        if task is None or task.greenlet is not getcurrent():
            if self._ended:
                raise GreenletExit
            stands = ready.is_set() if isinstance(ready, SimEvent) else ready is not None and ready()
            if timeout != 0.0 and not stands:
                raise AssertionError("only a task may wait")
            return
        if isinstance(ready, SimEvent):
            task.awaited, task.ready = ready, None
        else:
            task.awaited, task.ready = None, ready
        task.wake_at = None if timeout is None else self.mono + max(timeout, 0.0)
        self._hub.switch()

    def run(self, until: Callable[[], bool], *, limit: float = 1e6) -> None:
        """Run until `until()`; raises Stuck when nothing can go on, or when the clock passes `limit` seconds from now."""
        end = self.mono + limit
        while not until():
            self._turn(end)
            self.on_step()

    def _turn(self, end: float) -> None:
        runnable = self._runnable()
        if not runnable:
            times = [t.wake_at for t in self._tasks if t.wake_at is not None]
            if not times or min(times) > end:
                raise Stuck(f"at step {self.steps}: {[(t.group, t.name) for t in self._tasks]}")
            self.mono = min(times)
            return
        # Not randrange: it is the better part of a turn, and its slight favour for the first does no harm.
        chosen = runnable[int(self.rng.random() * len(runnable))]
        self.steps += 1
        self.mark = zlib.crc32(chosen.mark, self.mark)
        if self.on_turn is not None:
            self.on_turn(chosen)
        self._running = chosen
        chosen.greenlet.switch()
        self._running = None
        if chosen.done and chosen in self._tasks:
            self._tasks.remove(chosen)
            if chosen.error is not None:
                self.failed.append(chosen)

    def _runnable(self) -> list[SimTask]:
        now = self.mono
        found: list[SimTask] = []
        for task in self._tasks:
            wake_at, awaited = task.wake_at, task.awaited
            if wake_at is not None and wake_at <= now:
                found.append(task)
            elif awaited is not None:
                if awaited._set:
                    found.append(task)
            elif task.ready is not None and task.ready():
                found.append(task)
        return found


class Seeded:
    """The Runtime of one group of tasks: an agent's life, or the world around it."""

    def __init__(self, scheduler: Scheduler, group: str, clock: Clock) -> None:
        self.scheduler = scheduler
        self.group = group
        self.clock = clock

    def now(self) -> float:
        return EPOCH + self.scheduler.mono + self.clock.skew

    def monotonic(self) -> float:
        return self.scheduler.mono

    def sleep(self, seconds: float) -> None:
        self.scheduler.block(seconds, None)

    def step(self) -> None:
        """A place where others may go first, or where this life may end."""
        self.scheduler.block(0.0, None)

    def spawn(self, name: str, work: Callable[[], None]) -> SimTask:
        return self.scheduler.spawn(self.group, name, work)

    def event(self) -> SimEvent:
        return SimEvent(self.scheduler)

    def lock(self) -> SimLock:
        return SimLock(self.scheduler)

    def random(self) -> float:
        return self.scheduler.chance.random()

    def nonce(self) -> str:
        return f"{self.scheduler.chance.getrandbits(128):032x}"
