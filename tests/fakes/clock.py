"""A runtime whose clock moves only when it is told to, or when somebody sleeps."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from runctl_agent.runtime import Event, Task


class FakeEvent:
    """Waiting moves the clock by the whole timeout; nobody else can set the event meanwhile."""

    def __init__(self, runtime: FakeRuntime) -> None:
        self._runtime = runtime
        self._set = False

    def set(self) -> None:
        self._set = True

    def clear(self) -> None:
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def wait(self, timeout: float | None = None) -> bool:
        if not self._set:
            if timeout is None:
                raise AssertionError("would wait for ever")
            self._runtime.sleep(timeout)
        return self._set


class FakeTask:
    """Runs at once, to its end, in the caller."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.error: BaseException | None = None
        self.done = True
        try:
            work()
        except Exception as error:
            self.error = error

    def join(self, timeout: float | None = None) -> bool:
        return True


class FakeRuntime:
    """`slept` records every sleep, so that a test can assert the exact schedule."""

    def __init__(self, wall: float = 1_800_000_000.0, mono: float = 1000.0, rolls: float = 0.5) -> None:
        self.wall = wall
        self.mono = mono
        self.rolls = rolls
        self.slept: list[float] = []
        self._nonces = 0

    def advance(self, seconds: float) -> None:
        self.wall += seconds
        self.mono += seconds

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.mono

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    def spawn(self, name: str, work: Callable[[], None]) -> Task:
        return FakeTask(work)

    def event(self) -> Event:
        return FakeEvent(self)

    def lock(self) -> AbstractContextManager[object]:
        return threading.Lock()

    def random(self) -> float:
        return self.rolls

    def nonce(self) -> str:
        self._nonces += 1
        return f"{self._nonces:032x}"
