"""The surroundings of one agent's life on a simulated machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from runctl_agent.disk.watch import Watcher
from runctl_agent.errors import ImdsUnavailable
from runctl_agent.publish import TagPort
from runctl_agent.records import Change
from runctl_agent.store.objects import ObjectStore
from runctl_agent.surroundings import Reached
from runctl_agent.training.job import Jobs
from tests.fakes.meter import NoMeter
from tests.fakes.processes import FakeProcesses
from tests.simulation.ports import SimOwn, SimTags, SimWatcher, no_space
from tests.simulation.schedule import What
from tests.simulation.seeded import Seeded
from tests.simulation.wire import Wire

if TYPE_CHECKING:
    from tests.simulation.machine import Machine


class Around:
    def __init__(self, machine: Machine, runtime: Seeded) -> None:
        self._machine = machine
        self._runtime = runtime
        self.boot_id = machine.boot
        self.boot_time = machine.boot_time
        self.lock_dir = str(machine.folder / "locks")
        self.made: SimWatcher | None = None

    def watcher(self, sink: Callable[[Change], None]) -> Watcher:
        machine = self._machine
        lost = lambda: machine.weather.strikes(machine.number, What.DEAF) is not None  # noqa: E731
        self.made = SimWatcher(self._runtime, sink, lost)
        return self.made

    def processes(self) -> FakeProcesses:
        return self._machine.processes

    def jobs(self) -> Jobs:
        raise AssertionError("this training is started by somebody else")

    def meter(self) -> NoMeter:
        return NoMeter()

    def other_store(self, bucket: str) -> ObjectStore:
        raise AssertionError("there is no code to fetch")

    def reach(self) -> Reached:
        machine, weather = self._machine, self._machine.weather
        self._runtime.sleep(self._runtime.random())
        if weather.strikes(machine.number, What.IMDS, What.PARTITION):
            raise ImdsUnavailable("GET http://169.254.169.254/latest/", "HTTP 503")
        store = Wire(machine.store, self._runtime, weather, machine.number, machine.sees)
        tags = SimTags(machine.tags, self._runtime, weather, machine.number)
        own = None if machine.metadata is None else SimOwn(machine.metadata, self._runtime, weather, machine.number)
        life_cycle = None if own is None else "spot"
        instance = machine.instance
        return Reached(instance, instance.id, cast(ObjectStore, store), cast(TagPort, tags), own, life_cycle)

    def shutting_down(self) -> bool:
        return self._machine.shutting_down

    def power_off(self) -> None:
        self._machine.powered_off = True

    def write_status(self, body: bytes) -> None:
        if self._machine.weather.strikes(self._machine.number, What.JOURNAL_FULL):
            raise no_space()
        (self._machine.state_dir / "status.json").write_bytes(body)

    def write_metrics(self, path: str, body: bytes) -> None:
        raise AssertionError("no metrics are asked for")

    def ready(self) -> None:
        self._machine.life.ready = True
