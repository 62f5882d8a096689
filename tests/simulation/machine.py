"""One simulated machine: a disk, a trainer, EC2's tags, and one agent life after another."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from runctl_agent.contract.keys import Keys, parse_manifest_key
from runctl_agent.contract.phases import TERMINAL, Phase
from runctl_agent.contract.spec import Retention, Spec, Watched
from runctl_agent.contract.status import State, decode_state
from runctl_agent.contract.tags import read as read_tags
from runctl_agent.disk.lock import lock_file_name
from runctl_agent.disk.mounts import Mount
from runctl_agent.disk.stage import Stager
from runctl_agent.records import Change, Instance, ProcessId
from runctl_agent.store.journal import Journal
from tests.fakes.memory_store import MemoryStore
from tests.fakes.metadata import FakeMetadata
from tests.fakes.processes import BOOT, FakeProcesses
from tests.fakes.tag_store import TagStore
from tests.simulation.around import Around
from tests.simulation.heard import Heard
from tests.simulation.local import KillableLocks, NotedJournal, SimJournal, SimStager, SlowStager
from tests.simulation.ports import SimWatcher
from tests.simulation.schedule import Training, What
from tests.simulation.seeded import EPOCH, Clock, Scheduler, Seeded
from tests.simulation.trainers import Disk, History, ScriptedTrainer
from tests.simulation.weather import Weather

BOOT_TIME = 1_799_999_000
MAIN = "main"
CODES = {"finished": 0, "failed": 1}

AT_REST = TERMINAL | {Phase.WAITING}
"""Waiting: no agent that can remember it ever saw the training at work."""

SEEN = 30
"""Seconds for which a training goes on until an agent looks at it."""


@dataclass
class Life:
    """One agent process."""

    group: str
    began: float
    runtime: Seeded
    journal: Journal
    locks: KillableLocks
    stager: SimStager
    pipeline: Heard | None = None
    watcher: SimWatcher | None = None
    ready: bool = False
    living: bool = True


@dataclass
class Ended:
    """How trainings ended, in this order: their exit codes, None where there is none."""

    codes: list[int | None] = field(default_factory=list)


class Machine:
    """`begin` starts an agent, `kill` ends it as `kill -9` does, `lose` takes the whole machine away."""

    def __init__(
        self,
        number: int,
        folder: Path,
        scheduler: Scheduler,
        store: MemoryStore,
        history: History,
        weather: Weather | None = None,
        retention: Retention | None = None,
    ) -> None:
        self.number = number
        self.scheduler = scheduler
        self.store = store
        self.weather = weather or Weather(scheduler)
        self.folder = folder
        self.root = folder / "work" / "checkpoints"
        self.state_dir = folder / "state"
        for made in (self.root, self.state_dir):
            made.mkdir(parents=True)
        self.boot, self.boot_time = BOOT, BOOT_TIME
        self.spec = Spec(
            run="sim",
            destination="s3://bucket/runs",
            checkpoints=(Watched(str(self.root)),),
            workdir=str(folder / "work"),
            retention=retention or Retention(),
        )
        self.keys = Keys("runs", "sim")
        self.clock = Clock()
        self.tags = TagStore(lambda: scheduler.mono)
        self.processes = FakeProcesses()
        trains = scheduler.runtime(f"trainer-{number}", self.clock)
        self.disk = Disk(self.root, trains, self._hint, history, number)
        self.trainer = ScriptedTrainer(self.disk)
        self.lives: list[Life] = []
        self.alive: list[tuple[float, float]] = []
        self.uploads: set[str] = set()
        self.let_go: list[tuple[str, float]] = []
        self.called: Callable[[str, str], None] = lambda method, key: None
        self.listen = Heard.listen
        self.ended = Ended()
        self.process: ProcessId | None = None
        self.trained = False
        self.lost = False
        self.metadata: FakeMetadata | None = None
        self.shutting_down = False
        self.powered_off = False
        self._left: list[Training] = []
        self._written: tuple[bytes, State | None] = (b"", None)
        self._read: tuple[dict[str, str], State | None] = ({}, None)
        scheduler.at_end(self._close)
        scheduler.at_end(self.disk.lost)

    @property
    def life(self) -> Life:
        return self.lives[-1]

    @property
    def instance(self) -> Instance:
        return Instance(f"i-{self.number:017x}", "eu-west-1", "g5.xlarge", "eu-west-1a", self.boot, self.boot_time)

    @property
    def living(self) -> bool:
        """Whether an agent lives there."""
        return bool(self.lives) and self.life.living

    # --- training ---

    def train(self, trainings: tuple[Training, ...]) -> None:
        """One after the other; each writes its pid file, checkpoints, and perhaps its exit code."""
        self._left = list(trainings)
        self.trained = not trainings
        if trainings:
            self.processes.on_signal = self._signalled
            self.scheduler.spawn(f"trainer-{self.number}", "training", self._work)

    def _work(self) -> None:
        while self._left:
            training = self._left[0]
            self.disk.runtime.sleep(training.pause)
            self.process = self.processes.start(4000 + len(self.ended.codes), uid=os.geteuid())
            self.disk.mark("training.pid", f"{self.process.pid}\n")
            self.trainer.run(training)
            self._wait_to_be_seen()
            self._end(CODES.get(training.end))

    def _wait_to_be_seen(self) -> None:
        """Trainings last; what an agent never saw at work it says nothing of, if it finds its files."""
        for _ in range(SEEN):
            pipeline = self.life.pipeline if self.living else None
            if pipeline is not None and pipeline.attendant.process == self.process:
                return
            self.disk.runtime.sleep(1.0)

    def _end(self, code: int | None) -> None:
        if code is not None:
            self.disk.mark("training_exit_code.txt", f"{code}\n")
        if self.process is not None:
            self.processes.end(self.process)
        self.process = None
        self.ended.codes.append(code)
        self._left.pop(0)
        self.trained = not self._left

    def _signalled(self, process: ProcessId, number: signal.Signals) -> None:
        """Every signal ends the trainer, wherever it is."""
        if process == self.process:
            self.scheduler.kill(f"trainer-{self.number}")
            self.disk.lost()
            del self._left[1:]
            self._end(128 + number)

    def _hint(self, change: Change) -> None:
        if self.living and self.life.watcher is not None:
            self.life.watcher.hint(change)

    # --- the agent ---

    def begin(self) -> None:
        """Its first task puts the others together; it may be killed in that as well."""
        group = f"agent-{self.number}-{len(self.lives)}"
        runtime = self.scheduler.runtime(group, self.clock)
        path, home = str(self.state_dir / "journal.db"), str(self.state_dir)
        mount = Mount(1, str(self.folder), "tmpfs")
        life = Life(
            group,
            self.scheduler.mono,
            runtime,
            NotedJournal(path, owner=group, lock=runtime.lock(), uploads=self.uploads, gone=self._lets_go),
            KillableLocks(str(self.folder / "locks"), self.boot),
            SimStager(home, keep_free=0.0, roots=[str(self.root)], mount=lambda path: mount, full=self._meets(What.DISK_FULL)),
        )
        self.lives.append(life)
        journal = cast(Journal, SimJournal(life.journal, runtime, self._meets(What.JOURNAL_FULL)))
        stager = cast(Stager, SlowStager(life.stager, runtime))

        def main() -> None:
            around = Around(self, runtime)
            pipeline = Heard(runtime, self.spec, self.keys, home, home, journal, stager, life.locks, around)
            pipeline.listen = self.listen
            life.pipeline, life.watcher = pipeline, around.made
            pipeline.start()

        self.scheduler.spawn(group, MAIN, main)

    def _lets_go(self, name: str) -> None:
        """For want of room, and for no other reason."""
        assert self.weather.rages(self.number, What.DISK_FULL), f"{name} is let go, and there is room"
        self.let_go.append((name, self.scheduler.mono))

    def _meets(self, what: What) -> Callable[[], bool]:
        return lambda: self.weather.strikes(self.number, what) is not None

    def kill(self) -> None:
        """No finally block runs; the kernel frees the locks, sqlite rolls back what was not committed."""
        self.note_alive()
        self.scheduler.kill(self.life.group)
        self.life.locks.die()
        self.life.stager.die()
        self._close()

    def _close(self) -> None:
        if self.living:
            self.life.living = False
            self.life.journal.close()
            if self.life.pipeline is not None:
                self.life.pipeline.die()

    def lose(self) -> None:
        """Without notice, disk and all."""
        if self.living:
            self.kill()
        self.scheduler.kill(f"trainer-{self.number}")
        self.disk.lost()
        self.lost = True

    def reset(self) -> None:
        """What trains is gone without a code, and the next training begins in another boot."""
        if self.living:
            self.kill()
        self.scheduler.kill(f"trainer-{self.number}")
        self.disk.lost()
        if self.process is not None:
            self._end(None)
        self.boot = f"{len(self.lives):08x}{BOOT[8:]}"
        self.boot_time = int(EPOCH + self.scheduler.mono + self.clock.skew)
        self.processes = FakeProcesses(self.boot)
        self.train(tuple(self._left))

    def note_alive(self) -> None:
        if self.living and self.life.ready:
            self.alive.append((self.life.began, self.scheduler.mono))

    def died(self) -> BaseException | None:
        """What ended a task of the present life, if anything did."""
        return next((task.error for task in self.scheduler.failed if task.group == self.life.group), None)

    def sees(self, method: str, key: str) -> None:
        """A call of its agent to S3: whoever listens may have it killed. A checkpoint is locked while it is committed, unless it
        was being staged as it was begun with."""
        self.called(method, key)
        place = parse_manifest_key(key) if method == "put" and key.startswith(self.keys.manifests) else None
        if isinstance(place, tuple):
            locks, name = self.life.locks, lock_file_name(str(self.root.resolve() / place[2]))
            assert name in locks.held() or name in locks.shared, f"{key} is committed, and {name} is not held"

    # --- what it says of itself ---

    def state(self) -> State | None:
        """What the agent last wrote to its local status file."""
        try:
            body = (self.state_dir / "status.json").read_bytes()
        except FileNotFoundError:
            return None
        if body != self._written[0]:
            state = decode_state(body)
            assert isinstance(state, State), state
            self._written = (body, state)
        return self._written[1]

    def posted(self) -> State | None:
        """What a reader makes of the tags."""
        now = self.tags.now
        if now != self._read[0]:
            self._read = (now, read_tags(now, instance=self.instance.id, launch_time=BOOT_TIME).state)
        return self._read[1]

    def over(self) -> bool:
        """Everything it had is durable, and it said so everywhere."""
        if self.lost:
            return True
        if not (self.trained and self.living):
            return False
        return all(s is not None and s.phase in AT_REST and not s.pending_checkpoints for s in (self.state(), self.posted()))
