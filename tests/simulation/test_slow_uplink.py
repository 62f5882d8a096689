"""`last.pt` is written anew every 5 s, and takes 8 s to be sent: version after version is committed all the same, each whole."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runctl_agent.disk import hold
from runctl_agent.store import plan
from tests.simulation.machine import Machine
from tests.simulation.promises import Promises, content_of
from tests.simulation.seeded import Scheduler
from tests.simulation.slow_store import SlowStore
from tests.simulation.trainers import Disk, History, digest, torch_like

NAME = "last.pt"
EVERY = 5.0
TAKES = 8.0
SIZE = 8000
VERSIONS = 14
PART = 1000


def in_place(disk: Disk, body: bytes) -> None:
    disk.write(NAME, body)


def by_rename(disk: Disk, body: bytes) -> None:
    disk.write(f"{NAME}.tmp", body)
    disk.rename(f"{NAME}.tmp", NAME)


def cut_first(disk: Disk, body: bytes) -> None:
    """To nothing, some time before it is written."""
    if (disk.root / NAME).exists():
        os.truncate(disk.root / NAME, 0)
    disk.runtime.sleep(1.0)
    disk.write(NAME, body)


def removed_first(disk: Disk, body: bytes) -> None:
    (disk.root / NAME).unlink(missing_ok=True)
    disk.runtime.sleep(1.0)
    disk.write(NAME, body)


class Rewriting:
    """The trainer: a new content every EVERY seconds, and when each was there."""

    def __init__(self, disk: Disk, save: Callable[[Disk, bytes], None]) -> None:
        self.disk = disk
        self.save = save
        self.versions: list[str] = []
        self.done = False

    def run(self) -> None:
        scheduler = self.disk.runtime.scheduler
        next_at = scheduler.mono
        for _ in range(VERSIONS):
            body = torch_like(scheduler.rng.randbytes(SIZE))
            self.disk.gone(NAME)
            self.save(self.disk, body)
            self.disk.complete(NAME, {NAME: digest(body, PART)})
            self.versions.append(digest(body, PART))
            next_at += EVERY
            self.disk.runtime.sleep(next_at - scheduler.mono)
        self.done = True


@pytest.mark.parametrize("save", [in_place, by_rename, cut_first, removed_first])
def test_version_after_version_is_committed(
    disk: Path, monkeypatch: pytest.MonkeyPatch, save: Callable[[Disk, bytes], None]
) -> None:
    monkeypatch.setattr(hold, "reflink", lambda *_: None)  # the harder way: links and copies
    monkeypatch.setattr(plan, "MIB", 1)
    monkeypatch.setattr(plan, "SMALLEST_PART", PART)
    scheduler = Scheduler(5)
    store, history = SlowStore(scheduler, SIZE / TAKES), History()
    machine = Machine(0, disk, scheduler, store, history)
    promises = Promises(store, machine.keys, history)  # at every step: what is committed is one version, byte by byte
    scheduler.on_step = promises.at_every_step
    trainer = Rewriting(machine.disk, save)

    def committed() -> list[int]:
        return sorted(trainer.versions.index(content_of(one)[NAME]) for one in promises.manifests.values())

    machine.begin()
    scheduler.spawn("trainer", "training", trainer.run)
    scheduler.run(lambda: trainer.done, limit=1e4)
    meanwhile = committed()
    assert meanwhile[0] <= 2
    assert max(after - before for before, after in itertools.pairwise(meanwhile)) <= 3
    assert meanwhile[-1] >= VERSIONS - 5, "the newest goes first"

    # Afterwards the others follow, but for what the first version said before its name was seen rewritten.
    scheduler.run(lambda: len(committed()) >= VERSIONS - 1 and not _pending(machine), limit=1e4)
    assert set(committed()) >= set(range(1, VERSIONS))
    assert store.count("put_part") >= (VERSIONS - 1) * SIZE // PART, "these are uploads of several parts"
    assert store.uploads == {}
    assert machine.died() is None


def _pending(machine: Machine) -> int:
    state = machine.state()
    return 1 if state is None else state.pending_checkpoints
