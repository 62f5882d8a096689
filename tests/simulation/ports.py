"""The agent's ports in the simulated world: each gives way before or after it acts, so that a kill may fall anywhere."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from typing import Any

from runctl_agent.errors import ImdsUnavailable, TagsUnavailable
from runctl_agent.records import Change, Hinted
from tests.fakes.metadata import FakeMetadata
from tests.fakes.tag_store import Call, Fate, TagStore
from tests.simulation.schedule import What
from tests.simulation.seeded import Seeded
from tests.simulation.weather import Weather


class Stepping:
    """Any object, with a switch before or after a call of a public method, as the dice say."""

    def __init__(self, inner: object, runtime: Seeded) -> None:
        self._inner = inner
        self._runtime = runtime

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            roll = self._runtime.random()
            if roll < 0.4:
                self._runtime.step()
            answer = found(*arguments, **options)
            if roll > 0.7:
                self._runtime.step()
            return answer

        setattr(self, name, call)
        return call


class SimWatcher:
    """inotify as it is: some hints never come; every 30 s the whole root is read."""

    def __init__(self, runtime: Seeded, sink: Callable[[Change], None], lost: Callable[[], bool]) -> None:
        self._runtime = runtime
        self._sink = sink
        self._lost = lost
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
        if not self._lost():
            self._sink(change)

    def _rescan(self) -> None:
        while not self._stopping.wait(30.0):
            for root in self._roots:
                self._sink(Change(root, "", Hinted.CHANGED))


FATES = {
    What.EC2_THROTTLED: Fate.THROTTLED,
    What.EC2_REFUSED: Fate.DENIED,
    What.EC2_LOST: Fate.LOST,
    What.EC2_NO_ANSWER: Fate.NO_ANSWER,
    What.EC2_LATE: Fate.LATE,
    What.EC2_TORN: Fate.TORN,
    What.EC2_LATE_TORN: Fate.LATE_TORN,
    What.PARTITION: Fate.LOST,
}


class SimTags:
    """The instance's own tags; every call gives way."""

    def __init__(self, inner: TagStore, runtime: Seeded, weather: Weather, machine: int) -> None:
        self._inner = inner
        self._runtime = runtime
        self._weather = weather
        self._machine = machine

    def create(self, tags: Mapping[str, str]) -> None:
        self._runtime.step()
        struck = self._weather.strikes(self._machine, *FATES)
        if struck is not None:
            self._inner.meets(Call(FATES[struck], 6.0 * self._runtime.random()))
        self._inner.create(tags)
        self._runtime.step()

    def read(self) -> Mapping[str, str]:
        self._runtime.step()
        if self._weather.strikes(self._machine, What.EC2_BLIND, What.PARTITION):
            raise TagsUnavailable("ec2:DescribeTags", "no answer")
        found: Mapping[str, str] = self._inner.read()
        return found


class SimOwn:
    """What the instance learns of itself from its metadata."""

    def __init__(self, metadata: FakeMetadata, runtime: Seeded, weather: Weather, machine: int) -> None:
        self._metadata = metadata
        self._runtime = runtime
        self._weather = weather
        self._machine = machine

    def tag(self, key: str) -> str | None:
        self._answers()
        return None

    def event(self, path: str) -> bytes | None:
        self._answers()
        return self._metadata.read(path)

    def launch_time(self) -> int:
        return 1_799_999_000

    def _answers(self) -> None:
        self._runtime.step()
        if self._weather.strikes(self._machine, What.IMDS):
            raise ImdsUnavailable("GET http://169.254.169.254/latest/", "HTTP 429")


def no_space() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
