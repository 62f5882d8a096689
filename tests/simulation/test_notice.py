"""A spot notice: training goes on while that loses nothing, the newest that can be sent is, and `interrupted` is said in time."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from runctl_agent.contract.phases import Phase
from runctl_agent.contract.spec import Training
from runctl_agent.records import ProcessId
from runctl_agent.store import plan
from tests.fakes.metadata import FakeMetadata
from tests.simulation.machine import Machine
from tests.simulation.promises import Promises, content_of
from tests.simulation.seeded import Scheduler
from tests.simulation.slow_store import SlowStore
from tests.simulation.trainers import Disk, History, digest, torch_like

PART = 1000
RATE = 1000.0
"""Bytes a virtual second of the uplink."""


class Trainer:
    """Writes `model_N.pt` every so many seconds, each `size(N)` bytes; with `saves`, one more on SIGTERM, which ends it."""

    def __init__(self, machine: Machine, *, every: float, sizes: list[int], saves: bool = False, takes: float = 4.0) -> None:
        self.machine = machine
        self.disk: Disk = machine.disk
        self.every = every
        self.sizes = sizes
        self.saves = saves
        self.takes = takes
        self.told: float | None = None
        self.written = 0
        self.ended = False
        machine.processes.on_signal = self._signalled

    def _signalled(self, process: ProcessId, number: signal.Signals) -> None:
        if number is signal.SIGKILL:
            self.machine.scheduler.kill(f"trainer-{self.machine.number}")
            self.end(process)
        elif self.told is None:
            self.told = self.machine.scheduler.mono

    def run(self) -> None:
        scheduler = self.machine.scheduler
        process = self.machine.processes.start(4000, uid=os.geteuid())
        (self.machine.folder / "work" / "training.pid").write_text("4000\n")
        next_at = scheduler.mono + self.every
        for size in self.sizes:
            while scheduler.mono < next_at and self.told is None:
                self.disk.runtime.sleep(0.5)
            if self.told is not None:
                break
            self.write(size)
            next_at += self.every
        while self.told is None:
            self.disk.runtime.sleep(0.5)
        if self.saves:
            self.disk.runtime.sleep(self.takes)
            self.write(self.sizes[0])
        self.end(process)

    def write(self, size: int) -> None:
        self.written += 1
        body = torch_like(self.machine.scheduler.rng.randbytes(size))
        name = f"model_{self.written}.pt"
        self.disk.write(f"{name}.tmp", body)
        self.disk.rename(f"{name}.tmp", name)
        self.disk.complete(name, {name: digest(body, PART)})

    def end(self, process: ProcessId) -> None:
        (self.machine.folder / "work" / "training_exit_code.txt").write_text("143\n")
        self.machine.processes.end(process)
        self.ended = True


class World:
    def __init__(self, disk: Path, monkeypatch: pytest.MonkeyPatch, seed: int, *, saves: bool) -> None:
        monkeypatch.setattr(plan, "MIB", 1)
        monkeypatch.setattr(plan, "SMALLEST_PART", PART)
        self.scheduler = Scheduler(seed)
        self.store = SlowStore(self.scheduler, RATE)
        history = History()
        self.machine = Machine(0, disk, self.scheduler, self.store, history)
        self.machine.metadata = FakeMetadata()
        self.machine.spec = replace(self.machine.spec, training=Training(saves_on_signal=saves))
        self.promises = Promises(self.store, self.machine.keys, history)
        self.scheduler.on_step = self.promises.at_every_step

    def begin(self, training: Trainer) -> None:
        self.machine.begin()
        self.scheduler.spawn("trainer-0", "training", training.run)

    def wait(self, seconds: float) -> None:
        until = self.scheduler.mono + seconds
        self.scheduler.run(lambda: self.scheduler.mono >= until, limit=seconds + 60)

    def now(self) -> float:
        return self.machine.life.runtime.now()

    def notice(self, seconds: float = 120.0) -> float:
        """The time at which the machine is gone."""
        at = self.now() // 1 + seconds
        assert self.machine.metadata is not None
        self.machine.metadata.spot(at)
        return at

    def to_the_end(self, at: float) -> None:
        """Until `interrupted` was posted, or the machine is gone."""
        self.scheduler.run(lambda: self.phase() is Phase.INTERRUPTED or self.now() >= at, limit=1000)
        assert self.now() < at, "it was said too late"
        assert self.machine.died() is None

    def phase(self) -> Phase | None:
        posted = self.machine.posted()
        return posted.phase if posted is not None else None

    def committed(self) -> list[str]:
        return sorted(name for one in self.promises.manifests.values() for name in content_of(one))


SEEDS = [1, 2, 3]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_trainer_that_saves_is_signalled_late_and_its_last_checkpoint_is_committed(
    disk: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    world = World(disk, monkeypatch, seed, saves=True)
    world.begin(training := Trainer(world.machine, every=50.0, sizes=[10_000] * 50, saves=True))
    world.wait(95)
    before = training.written
    at = world.notice()
    world.to_the_end(at)
    assert training.told is not None
    left = at - (world.now() - world.scheduler.mono + training.told)
    assert 5 + 10 + 4 <= left < 60, "as late as its checkpoint can be made and sent"
    assert training.written > before + 1, "it went on training, and saved at the end"
    assert f"model_{training.written}.pt" in world.committed()
    assert [number for _, number in world.machine.processes.signalled] == [signal.SIGTERM]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_group_s_replacement_starts_at_once_so_the_last_checkpoint_is_made_at_once(
    disk: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    world = World(disk, monkeypatch, seed, saves=True)
    world.begin(training := Trainer(world.machine, every=50.0, sizes=[10_000] * 50, saves=True))
    world.wait(95)
    began = world.scheduler.mono
    assert world.machine.metadata is not None
    world.machine.metadata.group("Terminated")
    world.to_the_end(world.now() + 500)
    assert training.told is not None
    assert training.told - began < 15, "ten minutes are left, and nothing trained in them would be gone on from"
    assert f"model_{training.written}.pt" in world.committed()
    assert [number for _, number in world.machine.processes.signalled] == [signal.SIGTERM]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_trainer_that_does_not_save_is_left_alone_to_the_end(disk: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    world = World(disk, monkeypatch, seed, saves=False)
    world.begin(training := Trainer(world.machine, every=40.0, sizes=[10_000] * 50))
    world.wait(50)
    at = world.notice()
    world.to_the_end(at)
    assert training.told is not None
    assert at - (world.now() - world.scheduler.mono + training.told) <= 16
    assert training.written >= 3, "two of its own went by after the notice"
    assert "model_3.pt" in world.committed()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_newest_that_can_finish_is_sent_though_a_newer_one_cannot(
    disk: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """The largest is being sent as the notice comes: it gives way, for it could not finish."""
    world = World(disk, monkeypatch, seed, saves=False)
    world.begin(Trainer(world.machine, every=20.0, sizes=[20_000, 60_000, 400_000]))
    world.wait(75)
    at = world.notice()
    world.to_the_end(at)
    assert "model_2.pt" in world.committed()
    assert "model_3.pt" not in world.committed()
    state = world.machine.posted()
    assert state is not None
    assert (state.phase, state.checkpoint, state.pending_checkpoints) == (Phase.INTERRUPTED, "model_2.pt", 1)
    assert state.notice == "spot terminate"


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_told_twice_where_the_agent_dies_meanwhile(disk: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    world = World(disk, monkeypatch, seed, saves=True)
    world.begin(training := Trainer(world.machine, every=30.0, sizes=[5_000] * 50, saves=True, takes=10.0))
    world.wait(40)
    at = world.notice()
    world.scheduler.run(lambda: training.told is not None, limit=200)
    world.machine.kill()
    world.machine.begin()
    world.to_the_end(at)
    assert f"model_{training.written}.pt" in world.committed()


def test_a_hibernated_machine_goes_on(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(disk, monkeypatch, 1, saves=True)
    world.begin(training := Trainer(world.machine, every=30.0, sizes=[5_000] * 50, saves=True))
    world.wait(40)
    assert world.machine.metadata is not None
    world.machine.metadata.spot(world.now() + 120, "hibernate")
    world.wait(200)
    assert training.told is None
    state = world.machine.state()
    assert state is not None
    assert (state.phase, state.notice) == (Phase.TRAINING, "spot hibernate")


def test_a_rebalance_recommendation_and_an_event_are_said_and_nobody_is_signalled(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(disk, monkeypatch, 1, saves=True)
    world.begin(training := Trainer(world.machine, every=30.0, sizes=[5_000] * 50, saves=True))
    world.wait(40)
    assert world.machine.metadata is not None
    world.machine.metadata.rebalance()
    world.machine.metadata.events({"Code": "system-reboot", "NotBefore": "21 Jan 2027 09:00:43 GMT", "State": "active"})
    world.wait(200)
    assert training.told is None
    state = world.machine.state()
    assert state is not None
    assert (state.phase, state.notice) == (Phase.TRAINING, "rebalance recommended")
    assert any("event system-reboot at 2027-01-21T09:00:43Z" in line for line in state.details)
