"""The agent's ports in the simulated world: each gives way before and after it acts, so that a kill may fall anywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from runctl_agent.disk.lock import CheckpointLock, Locks
from runctl_agent.errors import SlowDown, StoreUnavailable
from runctl_agent.records import Change, Hinted
from tests.fakes.metadata import FakeMetadata
from tests.simulation.seeded import Seeded

R = TypeVar("R")


class Stepping:
    """Any object, with a switch before and after every call of a public method."""

    def __init__(self, inner: object, runtime: Seeded) -> None:
        self._inner = inner
        self._runtime = runtime

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            self._runtime.step()
            answer = found(*arguments, **options)
            self._runtime.step()
            return answer

        return call


class Flaky(Stepping):
    """A store that sometimes does not answer: before or after it has done what it was asked."""

    def __init__(self, inner: object, runtime: Seeded, chance: Callable[[], float]) -> None:
        super().__init__(inner, runtime)
        self._chance = chance

    def __getattr__(self, name: str) -> Any:
        call = super().__getattr__(name)
        if not callable(call):
            return call

        def flaky(*arguments: Any, **options: Any) -> Any:
            roll = self._runtime.random()
            if roll < self._chance():
                raise SlowDown(f"{name} was refused", "503 SlowDown") if roll < self._chance() / 3 else self._silence(name)
            answer = call(*arguments, **options)
            self._runtime.sleep(0.01 * self._runtime.random())
            if self._runtime.random() < self._chance():
                raise self._silence(name)
            return answer

        return flaky

    def _silence(self, name: str) -> StoreUnavailable:
        return StoreUnavailable(f"{name} got no answer", "the connection was reset")


class KillableLocks(Locks):
    """Locks that the kernel frees when their holder is killed, as it does with flock."""

    def __init__(self, directory: str, boot_id: str) -> None:
        super().__init__(directory, pid=1, boot_id=boot_id)
        self._held: list[CheckpointLock] = []

    def acquire(self, root: str, name: str, purpose: str, since: float) -> CheckpointLock | None:
        lock = super().acquire(root, name, purpose, since)
        if lock is not None:
            self._held.append(lock)
        return lock

    def die(self) -> None:
        for lock in self._held:
            lock.release()


class SimWatcher:
    """inotify as it is: some hints never come; every 30 s the whole root is read."""

    def __init__(self, runtime: Seeded, sink: Callable[[Change], None], loss: float) -> None:
        self._runtime = runtime
        self._sink = sink
        self._loss = loss
        self._roots: list[str] = []
        self._stopping = runtime.event()

    def watch(self, root: str) -> None:
        self._roots.append(root)

    def start(self) -> None:
        self._runtime.spawn("watch", self._rescan)

    def stop(self) -> None:
        self._stopping.set()

    def problems(self) -> list[str]:
        return []

    def hint(self, change: Change) -> None:
        if self._runtime.random() >= self._loss:
            self._sink(change)

    def _rescan(self) -> None:
        while not self._stopping.wait(30.0):
            for root in self._roots:
                self._sink(Change(root, "", Hinted.CHANGED))


class SimTags:
    """The instance's own tags; every call gives way."""

    def __init__(self, inner: Any, runtime: Seeded) -> None:
        self._inner = inner
        self._runtime = runtime

    def create(self, tags: Mapping[str, str]) -> None:
        self._runtime.step()
        self._inner.create(tags)
        self._runtime.step()

    def read(self) -> Mapping[str, str]:
        self._runtime.step()
        found: Mapping[str, str] = self._inner.read()
        return found


class SimOwn:
    """What the instance learns of itself from its metadata."""

    def __init__(self, metadata: FakeMetadata, runtime: Seeded) -> None:
        self._metadata = metadata
        self._runtime = runtime

    def tag(self, key: str) -> str | None:
        self._runtime.step()
        return None

    def event(self, path: str) -> bytes | None:
        self._runtime.step()
        return self._metadata.read(path)

    def launch_time(self) -> int:
        return 1_799_999_000
