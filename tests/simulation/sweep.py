"""Many schedules, on all the CPUs there are: python -m tests.simulation.sweep COUNT [--first SEED] [--seconds S] [--long].

Ends at the first ones that fail, each with the line that shows it again.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from tests.simulation import seeded
from tests.simulation.schedule import Schedule, schedule_of
from tests.simulation.world import World

MEMORY = "/dev/shm"
BATCH = 50


@dataclass(frozen=True)
class Failed:
    schedule: Schedule
    why: str
    step: int


@dataclass
class Swept:
    """What became of some schedules; `cpu` in seconds."""

    count: int = 0
    steps: int = 0
    calls: int = 0
    kills: int = 0
    checkpoints: int = 0
    cpu: float = 0.0
    failed: list[Failed] = field(default_factory=list)

    def add(self, other: Swept) -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


@contextmanager
def disk() -> Iterator[Path]:
    """In memory where there is such a file system: no simulated machine loses its power, and fsync is half of the time."""
    where = MEMORY if os.path.isdir(MEMORY) and os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=where, prefix="runctl-simulation-") as folder:
        yield Path(folder)


def tried(schedule: Schedule, swept: Swept | None = None) -> Failed | None:
    """Run one, to its end or to the first promise that is broken, and let go of it."""
    with disk() as folder:
        world = World(schedule, folder)
        failed = None
        try:
            world.run()
        except Exception as error:
            failed = Failed(schedule, _told(error), world.scheduler.steps)
        if swept is not None:
            swept.count += 1
            swept.steps += world.scheduler.steps
            swept.calls += len(world.store.calls)
            swept.kills += sum(max(0, len(m.lives) - 1) for m in world.machines)
            swept.checkpoints += len(world.promises.manifests)
        while seeded.OPEN:
            seeded.OPEN.pop().end()
    return failed


def _told(error: BaseException) -> str:
    """The innermost cause says what was broken."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {str(error)[:300]}"


def batch(first: int, count: int, *, long: bool) -> Swept:
    """In a process of its own: nothing is logged, and garbage is collected seldom."""
    logging.disable(logging.CRITICAL)
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    swept, began = Swept(), time.process_time()
    for seed in range(first, first + count):
        failed = tried(schedule_of(seed, long=long), swept)
        if failed is not None:
            swept.failed.append(failed)
    swept.cpu = time.process_time() - began
    return swept


def sweep(first: int, count: int, *, seconds: float = 0.0, long: bool = False, workers: int | None = None) -> Swept:
    """`seconds`: begins no more after so many; 0: no limit. Begins no more once something has failed."""
    found, began = Swept(), time.monotonic()
    todo = iter([(at, min(BATCH, first + count - at)) for at in range(first, first + count, BATCH)])
    with ProcessPoolExecutor(workers or os.cpu_count(), mp_context=get_context("fork"), max_tasks_per_child=None) as pool:

        def begin(some: int) -> set[Future[Swept]]:
            if found.failed or (seconds and time.monotonic() - began > seconds):
                return set()
            return {pool.submit(batch, at, size, long=long) for at, size in islice(todo, some)}

        running = begin(2 * (workers or os.cpu_count() or 1))
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for one in done:
                found.add(one.result())
            running |= begin(len(done))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--long", action="store_true")
    asked = parser.parse_args()
    began = time.monotonic()
    found = sweep(asked.first, asked.count, seconds=asked.seconds, long=asked.long)
    took = time.monotonic() - began
    print(
        f"{found.count} schedules from seed {asked.first} in {took:.0f} s, {1000 * found.cpu / max(1, found.count):.0f} ms of CPU"
        f" each: {found.steps} switches, {found.calls} calls to S3, {found.kills} agents begun anew,"
        f" {found.checkpoints} checkpoints; {len(found.failed)} failed"
    )
    for failed in found.failed[:10]:
        long = " --long" if asked.long else ""
        print(f"python -m tests.simulation.replay{long} {failed.schedule.seed}    # at step {failed.step}: {failed.why}")
    return 1 if found.failed else 0


if __name__ == "__main__":
    sys.exit(main())
