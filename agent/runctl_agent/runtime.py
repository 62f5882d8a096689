"""The only concurrency of the agent: spawn, sleep, wait, and the clocks, as one port.

Nobody else makes a thread, sleeps or reads a clock, so that a seeded scheduler on a virtual clock can run the whole agent
in one thread and kill it anywhere (tests/simulation/seeded.py).
"""

from __future__ import annotations

import logging
import random
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Generic, Protocol, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")


class Event(Protocol):
    def set(self) -> None: ...

    def clear(self) -> None: ...

    def is_set(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until set, at most `timeout` seconds; returns whether it is set."""


class Task(Protocol):
    @property
    def done(self) -> bool: ...

    @property
    def error(self) -> BaseException | None:
        """What ended the task, if it was not its own return."""

    def join(self, timeout: float | None = None) -> bool:
        """Wait until done, at most `timeout` seconds; returns whether it is."""


class Runtime(Protocol):
    def now(self) -> float:
        """Wall clock, seconds since the epoch. For what is shown or compared with mtimes, never for intervals."""

    def monotonic(self) -> float:
        """Seconds that never go back, from an arbitrary start. For intervals and timeouts."""

    def sleep(self, seconds: float) -> None: ...

    def spawn(self, name: str, work: Callable[[], None]) -> Task:
        """Run `work` beside the caller. A task that raises is `done` with `error`; whoever spawned it must look."""

    def event(self) -> Event: ...

    def lock(self) -> AbstractContextManager[object]:
        """A mutual exclusion between tasks; reusable, not reentrant."""

    def random(self) -> float:
        """Uniform in [0, 1): jitter."""

    def nonce(self) -> str:
        """32 hexadecimal digits that nobody else has."""


class Mailbox(Generic[T]):
    """Many put, one takes."""

    def __init__(self, runtime: Runtime) -> None:
        self._items: deque[T] = deque()
        self._filled = runtime.event()

    def put(self, item: T) -> None:
        self._items.append(item)
        self._filled.set()

    def take_all(self, timeout: float | None) -> list[T]:
        """Everything that is there, after waiting for at most `timeout` seconds for the first."""
        self._filled.wait(timeout)
        self._filled.clear()
        taken: list[T] = []
        while self._items:
            taken.append(self._items.popleft())
        return taken


def run_pool(runtime: Runtime, name: str, width: int, work: Callable[[T], None], items: Sequence[T]) -> None:
    """Do `work` on every item with at most `width` tasks; after the first error no new item is begun, and it is raised here."""
    waiting = deque(items)
    errors: list[BaseException] = []

    def worker() -> None:
        while not errors:
            try:
                item = waiting.popleft()
            except IndexError:
                return
            try:
                work(item)
            except Exception as error:  # noqa: BLE001 - raised again below, in the caller
                errors.append(error)

    tasks: list[Task] = []
    try:
        for n in range(min(width, len(items))):
            tasks.append(runtime.spawn(f"{name}-{n}", worker))  # noqa: PERF401 - those that were had before it fails are kept
    except RuntimeError as error:  # no further thread is to be had: those that run do it all, or the caller
        log.warning("%s: %s", name, error)
        worker()
    for task in tasks:
        task.join()
    errors.extend(task.error for task in tasks if task.error is not None)
    if errors:
        raise errors[0]


class _ThreadTask:
    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self._work = work
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - handed to whoever spawned it, by `error`
            self._error = error

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    @property
    def error(self) -> BaseException | None:
        return self._error

    def join(self, timeout: float | None = None) -> bool:
        self._thread.join(timeout)
        return self.done


class ThreadRuntime:
    """The real one: threads and the machine's clocks."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def spawn(self, name: str, work: Callable[[], None]) -> Task:
        return _ThreadTask(name, work)

    def event(self) -> Event:
        return threading.Event()

    def lock(self) -> AbstractContextManager[object]:
        return threading.Lock()

    def random(self) -> float:
        return random.random()  # noqa: S311 - jitter, not a secret

    def nonce(self) -> str:
        return secrets.token_hex(16)
