"""The agent is killed at every point between its boot and the first step of the training; the next one goes on.

Whatever the point: the training is started once, from the newest checkpoint, after a whole setup.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from runctl_agent.contract.manifest import encode_manifest
from runctl_agent.contract.phases import Phase
from runctl_agent.contract.spec import Spec, Training, Watched
from runctl_agent.life.quarantine import Quarantine
from runctl_agent.life.starter import Starter
from runctl_agent.records import ProcessId
from runctl_agent.store.journal import Journal
from runctl_agent.training.job import Done, Job, Running, Setup, Train
from runctl_agent.training.opening import Known, Opening, decide
from runctl_agent.training.record import encode_process, started_path, was_started
from runctl_agent.training.state import Life
from tests.fakes.clock import FakeRuntime
from tests.fakes.manifests import KEYS, RUN, manifest_of, put_data
from tests.fakes.memory_store import MemoryStore

BOOT = "boot-1"
ME = pwd.getpwuid(os.geteuid()).pw_name


class Killed(BaseException):
    """SIGKILL: nothing that the agent would still do is done."""


class Fuse:
    """Burns down with every call through it, and kills once, before or after the call."""

    def __init__(self, calls: int, *, after: bool) -> None:
        self._left = calls
        self._after = after

    def through(self, call: Callable[[], Any]) -> Any:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise Killed
        done = call()
        if self._left == 0:
            raise Killed
        return done


class Fused:
    """Any port, with every method through the fuse."""

    def __init__(self, port: object, fuse: Fuse) -> None:
        self._port = port
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        return lambda *arguments, **options: self._fuse.through(lambda: method(*arguments, **options))


@dataclass
class AtOnce:
    """A job that is done when it is looked at."""

    done: Done | None

    def outcome(self) -> Done | None:
        return self.done

    def cancel(self) -> None:
        pass


@dataclass
class Machine:
    """What outlives an agent: the disk, and the training with the lock that it was given. `says` writes its first word."""

    state_dir: str
    setups: int = 0
    held: bool = False
    trainings: list[Train] = field(default_factory=list)
    locks: list[int] = field(default_factory=list)

    def start(self, job: Job, *, archive: int | None = None, lock: int | None = None) -> Running:
        if isinstance(job, Setup):
            self.setups += 1
            return AtOnce(Done(env={"FROM_SETUP": str(self.setups)}))
        if not isinstance(job, Train):
            return AtOnce(Done())
        assert lock is not None
        self.locks.append(os.dup(lock))
        self.trainings.append(job)
        return AtOnce(None)

    @property
    def quarantine(self) -> Quarantine:
        def hold() -> None:
            self.held = True

        def adopt() -> None:
            self.held = False

        return Quarantine(hold, adopt, lambda: self.held)

    def says(self) -> None:
        for _ in self.trainings:
            Path(started_path(self.state_dir, RUN)).write_bytes(encode_process(ProcessId(4000, 7, BOOT)))


class Patience(FakeRuntime):
    """Who waits for a training that runs is stopped after a while: its agent ends."""

    def event(self) -> Any:
        made = super().event()
        waits = iter(range(50))
        wait = made.wait

        def patient(timeout: float | None = None) -> bool:
            if next(waits, None) is None:
                made.set()
            return wait(timeout)

        made.wait = patient  # type: ignore[method-assign]
        return made


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    (tmp_path / "state").mkdir()
    machine = Machine(str(tmp_path / "state"))
    yield machine
    for lock in machine.locks:
        os.close(lock)


def agent(tmp_path: Path, machine: Machine, store: MemoryStore, fuse: Fuse, journal_fuse: Fuse | None = None) -> Starter | None:
    """One life of an agent, from its decision to its end; None: it was killed."""
    workdir = str(tmp_path / "work")
    training = Training(command=("python", "train.py"), user=ME)
    spec = Spec(RUN, "s3://bucket/runs", (Watched(f"{workdir}/checkpoints"),), workdir=workdir, training=training)
    journal = Journal(f"{machine.state_dir}/journal.db", owner="me", alive=lambda owner: False)
    runtime = Patience()
    fused_journal, jobs, fused_store = (
        cast(Journal, Fused(journal, journal_fuse or fuse)),
        Fused(machine, fuse),
        Fused(store, fuse),
    )
    known = Known(Life(BOOT, 2, Phase.STARTING, 5), started=was_started(machine.state_dir, RUN, BOOT))
    try:
        starter = Starter(
            runtime,
            spec,
            KEYS,
            machine.state_dir,
            machine.state_dir,
            fused_journal,
            jobs,
            BOOT,
            machine.quarantine,
        )
        starter.run(decide(known), fused_store, lambda bucket: fused_store, "/locks", lambda: True)
    except Killed:
        return None
    finally:
        journal.close()
    return starter


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
@pytest.mark.parametrize("spoke", [True, False], ids=["it said who it is", "it had no time to say"])
@pytest.mark.parametrize("at", range(1, 25))
def test_it_is_started_once(tmp_path: Path, machine: Machine, at: int, spoke: bool, after: bool) -> None:
    store = MemoryStore()
    for step in (3, 7):
        manifest = manifest_of(f"model_step_{step}.pt", step, {f"model_step_{step}.pt": b"w"}, seq=step, kind="file")
        put_data(store, manifest)
        store.put(KEYS.manifest(1, step, manifest.checkpoint), encode_manifest(manifest))
    first = agent(tmp_path, machine, store, Fuse(at, after=after))
    assert first is None or machine.trainings, "every point up to the start is tried"
    if spoke:
        machine.says()
    second = agent(tmp_path, machine, store, Fuse(-1, after=False))
    (train,) = machine.trainings
    assert train.env["RUNCTL_RESUME_FROM"] == str(tmp_path / "work" / "checkpoints" / "model_step_7.pt")
    assert os.path.exists(train.env["RUNCTL_RESUME_FROM"])
    assert train.env["FROM_SETUP"] == str(machine.setups)
    assert (train.attempt, train.env["RUNCTL_ATTEMPT"]) == (2, "2")
    assert second is not None
    assert second.launched
    assert second.failure == ()
    assert second.decision is not None
    assert second.decision.opening in (Opening.BEGIN, Opening.GO_ON)
