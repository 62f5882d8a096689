"""The simulated world: one S3, and the machines of one run, all decided by a schedule.

`run` goes to the end: every trainer done, every fault over, everything durable. The promises are checked at every step, what
the agents say as they say it, and what is left at rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from unittest.mock import patch

from runctl_agent import telling
from runctl_agent.contract import slots, tags
from runctl_agent.contract.keys import Keys
from runctl_agent.contract.manifest import Epoch, decode_epoch
from runctl_agent.contract.status import State, decode_state
from runctl_agent.errors import JournalError
from runctl_agent.store import piece, plan, rooms
from runctl_agent.store.upload import Uploader
from tests.fakes.memory_store import MemoryStore
from tests.fakes.metadata import FakeMetadata
from tests.simulation import rest
from tests.simulation.machine import AT_REST, MAIN, Machine
from tests.simulation.promises import LATENCY, Promises
from tests.simulation.schedule import AT_ONCE, Fault, Schedule, What
from tests.simulation.seeded import EPOCH, Scheduler, SimTask, Stuck
from tests.simulation.told import Told
from tests.simulation.trainers import History, Stood
from tests.simulation.weather import Weather
from tests.simulation.wire import WRITES

PART = 192
"""Bytes of the smallest part of an upload, so that small files have several."""

LOOK = 2.0
"""Seconds between looks at the training; each costs."""

LIMIT = 3000.0
"""Virtual seconds after which what has not come to rest never will."""

PAUSE = 2.0
"""Seconds after which the service manager starts an agent that ended."""


@contextmanager
def small_parts() -> Iterator[None]:
    """Everything as it is, but small and seldom: parts, and looks at the training."""
    unpacked = cache(lambda chunks, slot, unpack=slots.unpack: unpack(chunks, slot))
    least = Uploader.__init__.__kwdefaults__
    with (
        patch.object(plan, "MIB", 1),
        patch.object(plan, "SMALLEST_PART", PART),
        patch.object(rooms, "SMALLEST_PART", PART),
        patch.dict(least, {"least": PART // 2}),
        patch.object(piece, "CHUNK", 4096),
        patch.object(telling, "LOOK", LOOK),
        patch.object(telling, "TELL", LOOK),
        patch.object(telling, "HURRY", 0.5),
        patch.object(tags, "unpack", lambda chunks, slot: unpacked(tuple(chunks), slot)),
    ):
        yield


class World:
    def __init__(self, schedule: Schedule, folder: Path) -> None:
        self.schedule = schedule
        self.scheduler = Scheduler(schedule.seed, self._step)
        self.folder = folder
        self.store = MemoryStore()
        self.keys = Keys("runs", "sim")
        self.history = History()
        self.weather = Weather(self.scheduler, schedule.faults)
        self.promises = Promises(self.store, self.keys, self.history, schedule.retention, self.weather.damaged)
        self.machines: list[Machine] = []
        self._kills = sorted((f for f in schedule.faults if f.what is What.KILL), key=lambda fault: fault.at)
        self._calls = {fault: int(fault.at) for fault in schedule.faults if fault.what is What.KILL_AT}
        self._now: list[Fault] = []
        self._coming = 0
        self._turns = -1
        self._fenced = False
        """Whether somebody may have been: he commits and moves no pointer."""

    def run(self) -> None:
        try:
            with small_parts():
                self._run()
        finally:
            for machine in self.machines:
                machine.disk.lost()  # what a trainer had open, where a broken promise ended it

    def _run(self) -> None:
        self._add(0)
        for fault in self.schedule.faults:
            if fault.what in AT_ONCE - {What.KILL, What.KILL_AT}:
                self._later(fault.at, lambda fault=fault: self._strike(fault))  # type: ignore[misc]
        try:
            self.scheduler.run(lambda: not self._coming and all(m.trained or m.lost for m in self.machines), limit=LIMIT)
            self.scheduler.run(self._at_rest, limit=max(LIMIT, LIMIT + self.weather.over_at - self.scheduler.mono))
        except Stuck as stuck:
            self._end()
            raise AssertionError(f"it does not come to rest: {self._restless()}") from stuck
        self._end()
        self.scheduler.run(self._logs_are_there, limit=600.0)
        if self._living() and not self._fenced:
            self.promises.latest_is_the_newest()
        self._restore()

    def _restore(self) -> None:
        runtime = self.scheduler.runtime("restore")
        task = runtime.spawn("restore", lambda: rest.the_newest_is_restored(self.promises, self.folder / "restored", runtime))
        self.scheduler.run(lambda: task.done)

    def _end(self) -> None:
        for machine in self.machines:
            if not machine.lost:
                machine.note_alive()
        alive = {m.number: m.alive for m in self.machines}
        self.promises.at_the_end(alive, {m.number for m in self.machines if m.lost}, self._excused)
        for machine in self.machines:
            rest.training_came_first(machine)
            if not machine.lost:
                rest.nothing_is_left(machine)

    def _restless(self) -> str:
        said = {m.number: m.state() for m in self.machines if not m.lost}
        return "; ".join(f"machine {number} says {state}" for number, state in said.items())

    # --- what is at rest ---

    def _at_rest(self) -> bool:
        if self._coming or not self._turned() or not all(m.over() for m in self.machines):
            return False
        missing = any(self.promises.missing(m.number) for m in self.machines if not m.lost)
        return not missing and self._last_has_the_run() and not any(m.life.journal.owed_aborts() for m in self._living())

    def _turned(self) -> bool:
        """Whether an agent has looked about since this was asked last: before that nobody says anything new."""
        turns = 0
        for machine in self.machines:
            if machine.lives and (pipeline := machine.lives[-1].pipeline) is not None:
                turns += pipeline.turns
        before, self._turns = self._turns, turns
        return turns != before or not self._living()

    def _living(self) -> list[Machine]:
        return [m for m in self.machines if not m.lost and m.living]

    def _logs_are_there(self) -> bool:
        return self._turned() and all(self._logged(machine) for machine in self._living())

    def _logged(self, machine: Machine) -> bool:
        """What lands after the next epoch was entered may stand there twice."""
        logged, said = self.promises.logged(machine.number), machine.disk.said
        if self.weather.spans(machine.number, What.LATE):
            return set(said.splitlines()) == set(logged.splitlines())
        return logged == said

    def _last_has_the_run(self) -> bool:
        """Who holds the highest epoch writes status.json; a zombie leaves it alone."""
        stored, epoch = self.store.objects.get(self.keys.status), self.store.objects.get(self.keys.epoch)
        holder = decode_epoch(epoch.body) if epoch is not None else None
        if not isinstance(holder, Epoch) or holder.instance not in {m.instance.id for m in self._living()}:
            return True
        state = decode_state(stored.body) if stored is not None else None
        return isinstance(state, State) and state.instance == holder.instance and state.phase in AT_REST

    def _excused(self, one: Stood) -> bool:
        """Whether the disk had no room for it, or the agent no word of it, while it stood; or it was let go later."""
        if any(name == one.name and one.since <= at for name, at in self.machines[one.machine].let_go):
            return True
        spans = self.weather.spans(one.machine, What.DISK_FULL, What.JOURNAL_FULL, What.DEAF)
        until = one.until or self.scheduler.mono
        return any(since <= until and one.since <= end + LATENCY for since, end in spans)

    # --- what happens ---

    def _add(self, number: int) -> None:
        late = any(self.weather.spans(m.number, What.LATE) for m in self.machines)
        self._fenced = self._fenced or late or not all(m.lost for m in self.machines)
        folder = self.folder / str(number)
        machine = Machine(number, folder, self.scheduler, self.store, self.history, self.weather, self.schedule.retention)
        if self.schedule.imds:
            machine.metadata = FakeMetadata()
        self.machines.append(machine)
        machine.called = lambda method, key: self._called(number, method, key)
        Told(machine, self.promises)
        machine.train(self.schedule.trainings[number])
        self._begin(machine)

    def _begin(self, machine: Machine) -> None:
        """As the service manager does, again and again."""
        if machine.lost or machine.living:
            return
        machine.begin()

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        self._coming += 1

        def work() -> None:
            self.scheduler.block(seconds, None)
            try:
                act()
            finally:
                self._coming -= 1

        self.scheduler.spawn("world", "later", work)

    def _strike(self, fault: Fault) -> None:
        if fault.what is What.JOIN:
            return self._add(len(self.machines))
        if fault.what is What.FORGOTTEN:
            return self.store.uploads.clear()
        if fault.machine >= len(self.machines) or self.machines[fault.machine].lost:
            return None
        machine = self.machines[fault.machine]
        match fault.what:
            case What.CLOCK:
                machine.clock.skew += fault.by
            case What.REBOOT:
                machine.reset()
                self._begin(machine)
            case What.LOSE:
                machine.lose()
            case What.NOTICE if machine.metadata is not None:
                machine.metadata.spot(EPOCH + self.scheduler.mono + machine.clock.skew + fault.seconds)
                self._later(fault.seconds, machine.lose)
        return None

    def _step(self) -> None:
        self.promises.at_every_step()
        for task in self.scheduler.failed:
            self._failed(task)
        while self._now:
            self._kill(self._now.pop())
        while self._kills and self.scheduler.steps >= self._kills[0].at:
            self._kill(self._kills.pop(0))

    def _failed(self, task: SimTask) -> None:
        """An agent that can't even open its journal ends, and is started again."""
        if task.name != MAIN or not isinstance(task.error, JournalError):
            raise AssertionError(f"the task {task.name} of {task.group} died") from task.error
        for machine in self._living():
            if machine.life.group == task.group:
                machine.kill()
                self._later(PAUSE, lambda machine=machine: self._begin(machine))  # type: ignore[misc]

    def _called(self, machine: int, method: str, key: str) -> None:
        for fault in self._calls:
            if fault.machine == machine and method in WRITES and fault.key in key:
                self._calls[fault] -= 1
                if not self._calls[fault]:
                    self._now.append(fault)

    def _kill(self, fault: Fault) -> None:
        living = [m for m in self._living() if m.number == fault.machine]
        for machine in living:
            machine.kill()
            self._later(fault.seconds, lambda machine=machine: self._begin(machine))  # type: ignore[misc]
