"""The simulated world: one S3, and one or two machines of the same run, all decided by a seed.

In every third seed a second machine joins in the middle, as a replacement does: the first is lost at that moment, or lives
on as a zombie that does not know. In two seeds of five there is retention.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runctl_agent.contract.keys import Keys
from runctl_agent.contract.spec import Retention
from runctl_agent.contract.status import State, decode_state
from tests.fakes.memory_store import MemoryStore
from tests.simulation.machine import Faults, Machine
from tests.simulation.promises import Promises
from tests.simulation.seeded import Scheduler
from tests.simulation.trainers import History


@dataclass(frozen=True)
class Plan:
    """What a seed decides beforehand. `kills` and `joins` are steps of the scheduler; `joins` is 0 where nobody does."""

    kills: tuple[int, ...]
    joins: int
    zombie: bool
    faults: Faults
    trainer: str
    retention: Retention


def plan_of(seed: int, scheduler: Scheduler) -> Plan:
    rng = scheduler.rng
    kills = tuple(sorted(rng.randrange(50, 6000) for _ in range(rng.randrange(0, 5))))
    faults = Faults(rng.choice((0.0, 0.02, 0.1)), rng.choice((0.0, 0.0, 0.3)))
    joins = rng.randrange(200, 3000) if seed % 3 == 0 else 0
    retention = Retention(keep_last=2, keep_every=4 * (seed % 2)) if seed % 5 < 2 else Retention()
    return Plan(kills, joins, rng.random() < 0.7, faults, "files" if seed % 2 else "huggingface", retention)


class World:
    """`run` goes to the end: every trainer done, every fault over, everything durable; promises are checked at every step."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.scheduler = Scheduler(seed, self._step)
        self.plan = plan_of(seed, self.scheduler)
        self.folder = folder
        self.store = MemoryStore()
        self.keys = Keys("runs", "sim")
        self.history = History()
        self.promises = Promises(self.store, self.keys, self.history, self.plan.retention)
        self.machines: list[Machine] = []
        self._kills = list(self.plan.kills)

    def run(self) -> None:
        self._add()
        self.scheduler.run(lambda: self._everyone_there() and all(m.trained or m.lost for m in self.machines), limit=1e5)
        for machine in self.machines:
            machine.faulty = False
        self.scheduler.run(
            lambda: not self._kills and all(m.over() for m in self.machines) and self._last_has_the_run(), limit=1e5
        )
        for machine in self.machines:
            if not machine.lost:
                machine.note_alive()
        hints = self.plan.faults.hint_loss == 0.0
        self.promises.at_the_end({m.number: m.alive for m in self.machines if hints}, {m.number for m in self.machines if m.lost})
        self.scheduler.run(
            lambda: all(m.lost or self.promises.logged(m.number) == m.disk.said for m in self.machines), limit=600.0
        )
        if len(self.machines) == 1 or not self.plan.zombie:
            self.promises.latest_is_the_newest()

    def _everyone_there(self) -> bool:
        return not self.plan.joins or len(self.machines) > 1

    def _add(self) -> None:
        number = len(self.machines)
        folder = self.folder / str(number)
        machine = Machine(number, folder, self.scheduler, self.store, self.history, self.plan.faults, self.plan.retention)
        self.machines.append(machine)
        machine.train(self.plan.trainer)
        machine.begin()

    def _step(self) -> None:
        self.promises.at_every_step()
        for machine in self.machines:
            error = machine.died()
            if error is not None:
                raise AssertionError(f"a task of machine {machine.number} died") from error
        if self.plan.joins and self.scheduler.steps >= self.plan.joins and len(self.machines) == 1:
            if not self.plan.zombie:
                self.machines[0].lose()
            self._add()
        if self._kills and self.scheduler.steps >= self._kills[0]:
            self._kills.pop(0)
            living = [m for m in self.machines if not m.lost]
            victim = living[self.scheduler.rng.randrange(len(living))]
            victim.kill()
            victim.begin()

    def _last_has_the_run(self) -> bool:
        """Who holds the highest epoch writes status.json; a zombie leaves it alone."""
        epochs = {m.number: held.epoch for m in self.machines if not m.lost and (held := m.life.journal.epoch()) is not None}
        stored = self.store.objects.get(self.keys.status)
        if stored is None or not epochs:
            return False
        holder = self.machines[max(epochs, key=lambda number: epochs[number])]
        state = decode_state(stored.body)
        assert isinstance(state, State)
        return state.instance == holder.instance.id
