"""One simulated machine: a disk, a trainer, EC2's tags, and one agent life after another."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from runctl_agent.contract.keys import Keys
from runctl_agent.contract.phases import Phase
from runctl_agent.contract.spec import Retention, Spec, Watched
from runctl_agent.contract.status import State, decode_state
from runctl_agent.contract.tags import read as read_tags
from runctl_agent.disk.stage import Stager
from runctl_agent.disk.watch import Watcher
from runctl_agent.pipeline import Pipeline
from runctl_agent.publish import TagPort
from runctl_agent.records import Change, Instance
from runctl_agent.store.journal import Journal
from runctl_agent.store.objects import ObjectStore
from runctl_agent.surroundings import Reached
from runctl_agent.training.job import Jobs
from tests.fakes.memory_store import MemoryStore
from tests.fakes.metadata import FakeMetadata
from tests.fakes.meter import NoMeter
from tests.fakes.processes import BOOT, FakeProcesses
from tests.fakes.tag_store import TagStore
from tests.simulation.ports import Flaky, KillableLocks, SimOwn, SimTags, SimWatcher, Stepping
from tests.simulation.seeded import Scheduler, Seeded
from tests.simulation.trainers import Disk, FileTrainer, History, HuggingFaceTrainer

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
    watcher: SimWatcher
    ready: bool = False


@dataclass(frozen=True)
class Faults:
    """What may go wrong: the chance that a call to S3 gets no answer, and that a hint never comes."""

    chance: float
    hint_loss: float


class Machine:
    """`begin` starts an agent, `kill` ends it as `kill -9` does, `lose` takes the whole machine away."""

    def __init__(
        self,
        number: int,
        folder: Path,
        scheduler: Scheduler,
        store: MemoryStore,
        history: History,
        faults: Faults,
        retention: Retention | None = None,
    ) -> None:
        self.number = number
        self.scheduler = scheduler
        self.store = store
        self.faults = faults
        self.faulty = True
        self.folder = folder
        self.root = folder / "work" / "checkpoints"
        self.state_dir = folder / "state"
        for made in (self.root, self.state_dir):
            made.mkdir(parents=True)
        self.instance = Instance(f"i-{number:017x}", "eu-west-1", "g5.xlarge", "eu-west-1a", BOOT, BOOT_TIME)
        self.spec = Spec(
            run="sim",
            destination="s3://bucket/runs",
            checkpoints=(Watched(str(self.root)),),
            workdir=str(folder / "work"),
            retention=retention or Retention(),
        )
        self.keys = Keys("runs", "sim")
        self.tags = TagStore(lambda: scheduler.mono)
        self.processes = FakeProcesses()
        self.disk = Disk(self.root, scheduler.runtime(f"trainer-{number}"), self._hint, history, number)
        self.lives: list[Life] = []
        self._open: Journal | None = None
        scheduler.at_end(self._close)
        self.alive: list[tuple[float, float]] = []
        self.trained = False
        self.lost = False
        self.metadata: FakeMetadata | None = None
        self.shutting_down = False
        self.powered_off = False

    @property
    def life(self) -> Life:
        return self.lives[-1]

    # --- training ---

    def train(self, trainer: str) -> None:
        """Start a trainer: it writes its pid file, six checkpoints, and its exit code."""

        def work() -> None:
            process = self.processes.start(4000, uid=os.geteuid())
            (self.folder / "work" / "training.pid").write_text("4000\n")
            make = FileTrainer if trainer == "files" else HuggingFaceTrainer
            make(self.disk, every=3.0, count=6, size=200).run()
            (self.folder / "work" / "training_exit_code.txt").write_text("0\n")
            self.processes.end(process)
            self.trained = True

        self.scheduler.spawn(f"trainer-{self.number}", "training", work)

    def _hint(self, change: Change) -> None:
        if self.lives:
            self.life.watcher.hint(change)

    # --- the agent ---

    def begin(self) -> None:
        group = f"agent-{self.number}-{len(self.lives)}"
        runtime = self.scheduler.runtime(group)
        path = str(self.state_dir / "journal.db")
        journal = Journal(path, owner=group, alive=lambda owner: owner == group, lock=runtime.lock())
        self._open = journal
        locks = KillableLocks(str(self.folder / "locks"), BOOT)
        stager = Stager(str(self.state_dir), keep_free=0.0, roots=[str(self.root)])
        around = Around(self, runtime)
        pipeline = Pipeline(
            runtime,
            self.spec,
            self.keys,
            str(self.state_dir),
            str(self.state_dir),
            cast(Journal, Stepping(journal, runtime)),
            cast(Stager, Stepping(stager, runtime)),
            locks,
            around,
        )
        assert around.made is not None
        self.lives.append(Life(group, runtime.now(), runtime, journal, locks, pipeline, around.made))
        pipeline.start()

    def kill(self) -> None:
        """No finally block runs; the kernel frees the locks, sqlite rolls back what was not committed."""
        self.note_alive()
        self.scheduler.kill(self.life.group)
        self.life.locks.die()
        self._close()

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def lose(self) -> None:
        """Without notice, disk and all."""
        self.kill()
        self.scheduler.kill(f"trainer-{self.number}")
        self.disk.lost()
        self.lost = True

    def note_alive(self) -> None:
        if self.life.ready:
            self.alive.append((self.life.began, self.life.runtime.now()))

    def died(self) -> BaseException | None:
        """What ended a task of the present life, if anything did."""
        return next((task.error for task in self.scheduler.tasks(self.life.group) if task.error is not None), None)

    # --- what it says of itself ---

    def state(self) -> State | None:
        """What the agent last wrote to its local status file."""
        path = self.state_dir / "status.json"
        if not path.exists():
            return None
        state = decode_state(path.read_bytes())
        assert isinstance(state, State), state
        return state

    def posted(self) -> State | None:
        """What a reader makes of the tags."""
        return read_tags(self.tags.now, instance=self.instance.id, launch_time=BOOT_TIME).state

    def over(self) -> bool:
        """Everything it had is durable, and it said so everywhere."""
        states = (self.state(), self.posted())
        return self.lost or all(s is not None and s.phase is Phase.FINISHED and not s.pending_checkpoints for s in states)


class Around:
    """The surroundings of one life."""

    def __init__(self, machine: Machine, runtime: Seeded) -> None:
        self._machine = machine
        self._runtime = runtime
        self.boot_id = BOOT
        self.boot_time = BOOT_TIME
        self.lock_dir = str(machine.folder / "locks")
        self.made: SimWatcher | None = None

    def watcher(self, sink: Callable[[Change], None]) -> Watcher:
        self.made = SimWatcher(self._runtime, sink, self._machine.faults.hint_loss)
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
        machine = self._machine
        self._runtime.sleep(self._runtime.random())
        store = Flaky(machine.store, self._runtime, lambda: machine.faults.chance if machine.faulty else 0.0)
        tags = cast(TagPort, SimTags(machine.tags, self._runtime))
        own = None if machine.metadata is None else SimOwn(machine.metadata, self._runtime)
        life_cycle = None if own is None else "spot"
        return Reached(machine.instance, machine.instance.id, cast(ObjectStore, store), tags, own, life_cycle)

    def shutting_down(self) -> bool:
        return self._machine.shutting_down

    def power_off(self) -> None:
        self._machine.powered_off = True

    def write_status(self, body: bytes) -> None:
        (self._machine.state_dir / "status.json").write_bytes(body)

    def write_metrics(self, path: str, body: bytes) -> None:
        raise AssertionError("no metrics are asked for")

    def ready(self) -> None:
        self._machine.life.ready = True
