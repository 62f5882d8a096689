"""At rest nothing is left behind: no lock, no upload, no snapshot; and the trainer's disk and process are as it left them."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import cast

from runctl_agent.runtime import Runtime
from runctl_agent.store.objects import ObjectStore
from runctl_agent.store.restore import Restorer
from tests.simulation.machine import Machine
from tests.simulation.promises import Promises


def nothing_is_left(machine: Machine) -> None:
    """On the machine, and of its uploads in S3, once everything is durable."""
    journal = machine.life.journal
    behind, owed = journal.behind().checkpoints, journal.owed_aborts()
    assert (behind, owed) == (0, []), f"{behind} rows are still pending, and {len(owed)} aborts owed"
    open_ones = machine.uploads & machine.store.uploads.keys()
    assert not open_ones, f"uploads are left: {sorted(machine.store.uploads[one].key for one in open_ones)}"
    locked = machine.life.locks.held()
    assert not locked, f"locks are held: {locked}"
    for lock in sorted((machine.folder / "locks").glob("*.lock")):
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    staged = [path for name in ("staging",) if (path := machine.state_dir / name).exists()]
    left = [str(one) for place in staged for one in sorted(place.iterdir())]
    assert not left, f"snapshots are left: {left}"


def training_came_first(machine: Machine) -> None:
    """What is in the watched directory is the trainer's and nobody else's, and nobody ended it but for a notice."""
    there = {str(path.relative_to(machine.root)) for path in machine.root.rglob("*") if not path.is_dir()}
    assert there == machine.disk.files, (
        f"the watched directory has {sorted(there)}, the trainer wrote {sorted(machine.disk.files)}"
    )
    if machine.metadata is None or not machine.metadata.stands:
        assert machine.processes.signalled == [], "the training was signalled"


def the_newest_is_restored(promises: Promises, folder: Path, runtime: Runtime) -> None:
    """By the code that a next machine has."""
    newest = promises.newest
    if newest is None:
        return
    os.mkdir(folder)
    restorer = Restorer(cast(ObjectStore, promises.store), promises.keys, runtime)
    restored = restorer.restore(str(folder))
    assert restored.manifest == promises.manifests[newest], f"{restored.manifest.checkpoint} was restored, {newest} is the newest"
    assert not restored.passed_by, f"it was passed by: {restored.passed_by}"
