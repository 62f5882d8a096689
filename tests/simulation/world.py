"""One simulated machine: a disk, trainers, S3, EC2's tags, and one agent life after another, all decided by a seed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from runctl_agent.contract.keys import Keys
from runctl_agent.contract.phases import Phase
from runctl_agent.contract.spec import Spec, Training, Watched
from runctl_agent.contract.status import State, decode_state
from runctl_agent.disk.stage import Stager
from runctl_agent.disk.watch import Watcher
from runctl_agent.pipeline import Pipeline, Reached
from runctl_agent.publish import TagPort
from runctl_agent.records import Change, Instance
from runctl_agent.store.journal import Journal
from runctl_agent.store.objects import ObjectStore
from tests.fakes.memory_store import MemoryStore
from tests.fakes.processes import BOOT, FakeProcesses
from tests.fakes.tag_store import TagStore
from tests.simulation.ports import Flaky, KillableLocks, SimTags, SimWatcher, Stepping
from tests.simulation.promises import Promises
from tests.simulation.seeded import Scheduler, Seeded
from tests.simulation.trainers import Disk, FileTrainer, HuggingFaceTrainer

BOOT_TIME = 1_799_999_000


@dataclass
class Life:
    """One agent process."""

    group: str
    began: float
    runtime: Seeded
    journal: Journal
    locks: KillableLocks
    pipeline: Pipeline
    watcher: SimWatcher | None = None
    ready: bool = False


@dataclass(frozen=True)
class Plan:
    """What a seed decides beforehand."""

    kills: tuple[int, ...]  # at which steps of the scheduler the agent is killed
    chance: float  # that a call to S3 gets no answer
    hint_loss: float
    trainer: str


def plan_of(seed: int, scheduler: Scheduler) -> Plan:
    rng = scheduler.rng
    kills = tuple(sorted(rng.randrange(50, 6000) for _ in range(rng.randrange(0, 5))))
    chance = rng.choice((0.0, 0.02, 0.1))
    return Plan(kills, chance, rng.choice((0.0, 0.0, 0.3)), "files" if seed % 2 else "huggingface")


class World:
    """`run` goes to the end: every trainer done, every fault over, everything durable; promises are checked at every step."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.scheduler = Scheduler(seed, self._step)
        self.plan = plan_of(seed, self.scheduler)
        self.folder = folder
        self.root = folder / "work" / "checkpoints"
        self.state_dir = folder / "state"
        for made in (self.root, self.state_dir):
            made.mkdir(parents=True)
        self.spec = Spec(
            run="sim",
            destination="s3://bucket/runs",
            checkpoints=(Watched(str(self.root)),),
            workdir=str(folder / "work"),
            training=Training(),
        )
        self.keys = Keys("runs", "sim")
        self.store = MemoryStore()
        self.tags = TagStore(lambda: self.scheduler.mono)
        self.processes = FakeProcesses()
        self.boot_id = BOOT
        self.faulty = True
        self.lives: list[Life] = []
        self.alive: list[tuple[float, float]] = []
        self._kills = list(self.plan.kills)
        world = self.scheduler.runtime("world")
        self.disk = Disk(self.root, world, self._hint)
        self.promises = Promises(self.store, self.keys, self.disk.history)
        self.trained = False

    @property
    def life(self) -> Life:
        return self.lives[-1]

    def run(self) -> None:
        self.scheduler.spawn("world", "training", self._train)
        self._begin()
        self.scheduler.run(lambda: self.trained, limit=1e5)
        self.faulty = False
        self.scheduler.run(self._over, limit=1e5)
        self._note_alive()
        self.promises.at_the_end(self.alive, self.plan.hint_loss == 0.0)

    def state(self) -> State | None:
        """What the agent last wrote to its local status file."""
        path = self.state_dir / "status.json"
        if not path.exists():
            return None
        state = decode_state(path.read_bytes())
        assert isinstance(state, State), state
        return state

    # --- the course of things ---

    def _train(self) -> None:
        process = self.processes.start(4000, uid=os.geteuid())
        (self.folder / "work" / "training.pid").write_text("4000\n")
        make = FileTrainer if self.plan.trainer == "files" else HuggingFaceTrainer
        make(self.disk, every=3.0, count=6, size=200).run()
        (self.folder / "work" / "training_exit_code.txt").write_text("0\n")
        self.processes.end(process)
        self.trained = True

    def _over(self) -> bool:
        if self._kills:
            return False
        state = self.state()
        return state is not None and state.phase is Phase.FINISHED and not state.pending_checkpoints

    def _step(self) -> None:
        self.promises.at_every_step()
        for task in self.scheduler.tasks(self.life.group):
            if task.error is not None:
                raise AssertionError(f"{task.name} died") from task.error
        if self._kills and self.scheduler.steps >= self._kills[0]:
            self._kills.pop(0)
            self.kill()
            self._begin()

    def kill(self) -> None:
        """kill -9: no finally block runs; the kernel frees the locks, sqlite rolls back what was not committed."""
        life = self.life
        self._note_alive()
        self.scheduler.kill(life.group)
        life.locks.die()
        life.journal.close()

    def _note_alive(self) -> None:
        if self.life.ready:
            self.alive.append((self.life.began, self.life.runtime.now()))

    def _hint(self, change: Change) -> None:
        if self.lives and self.life.watcher is not None:
            self.life.watcher.hint(change)

    def _begin(self) -> None:
        group = f"agent-{len(self.lives)}"
        runtime = self.scheduler.runtime(group)
        journal = Journal(
            str(self.state_dir / "journal.db"), owner=group, alive=lambda owner: owner == group, lock=runtime.lock()
        )
        locks = KillableLocks(str(self.folder / "locks"), self.boot_id)
        stager = Stager(str(self.state_dir), keep_free=0.0, roots=[str(self.root)])
        pipeline = Pipeline(
            runtime,
            self.spec,
            self.keys,
            str(self.state_dir),
            cast(Journal, Stepping(journal, runtime)) if self.lives else journal,
            cast(Stager, Stepping(stager, runtime)),
            locks,
            Around(self, runtime),
        )
        self.lives.append(Life(group, runtime.now(), runtime, journal, locks, pipeline))
        self.lives[-1].watcher = Around.last_watcher
        pipeline.start()


class Around:
    """The surroundings of one life."""

    last_watcher: SimWatcher | None = None

    def __init__(self, world: World, runtime: Seeded) -> None:
        self._world = world
        self._runtime = runtime
        self.boot_id = world.boot_id
        self.boot_time = BOOT_TIME

    def watcher(self, sink: Callable[[Change], None]) -> Watcher:
        Around.last_watcher = SimWatcher(self._runtime, sink, self._world.plan.hint_loss)
        return Around.last_watcher

    def processes(self) -> FakeProcesses:
        return self._world.processes

    def reach(self) -> Reached:
        world = self._world
        self._runtime.sleep(self._runtime.random())
        instance = Instance("i-0123456789abcdef0", "eu-west-1", "g5.xlarge", "eu-west-1a", self.boot_id, BOOT_TIME)
        store = Flaky(world.store, self._runtime, lambda: world.plan.chance if world.faulty else 0.0)
        tags = cast(TagPort, SimTags(world.tags, self._runtime))
        return Reached(instance, instance.id, cast(ObjectStore, store), tags)

    def write_status(self, body: bytes) -> None:
        (self._world.state_dir / "status.json").write_bytes(body)

    def ready(self) -> None:
        self._world.life.ready = True
