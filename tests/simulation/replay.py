"""Shows a seed again, and makes what fails smaller: python -m tests.simulation.replay [--mutant NAME] SEED."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from tests.simulation import seeded
from tests.simulation.mutants import NAMED
from tests.simulation.schedule import Schedule, schedule_of
from tests.simulation.seeded import SimTask
from tests.simulation.shrink import shrink
from tests.simulation.sweep import disk, tried
from tests.simulation.world import World

LAST = 40
"""Switches that are shown."""


def course(schedule: Schedule) -> list[str]:
    """Every switch of one run: when, and who."""
    trace: list[str] = []
    with disk() as folder:
        world = World(schedule, folder)
        scheduler = world.scheduler

        def note(task: SimTask) -> None:
            trace.append(f"{scheduler.steps:6} {scheduler.mono - 1000:9.3f} s  {task.group} {task.name}")

        scheduler.on_turn = note
        try:
            world.run()
        except Exception as error:
            trace.append(f"{type(error).__name__}: {error}")
        while seeded.OPEN:
            seeded.OPEN.pop().end()
    return trace


@contextmanager
def _logged() -> Iterator[None]:
    """What the agents say, as they say it."""
    logging.basicConfig(level=logging.INFO, format="        %(name)s: %(message)s", stream=sys.stdout, force=True)
    try:
        yield
    finally:
        logging.disable(logging.CRITICAL)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("--long", action="store_true", help="as `make test` has it")
    parser.add_argument("--mutant", choices=NAMED, help="with this bug")
    parser.add_argument("--no-shrink", action="store_true")
    asked = parser.parse_args()
    schedule = schedule_of(asked.seed, long=asked.long)
    mutant = NAMED.get(asked.mutant)
    with mutant.applied() if mutant is not None else nullcontext():
        return _show(schedule, smaller=not asked.no_shrink)


def _show(schedule: Schedule, *, smaller: bool) -> int:
    logging.disable(logging.CRITICAL)
    failed = tried(schedule)
    if failed is None:
        print(f"{schedule.told()}\nevery promise holds")
        return 0
    if course(schedule) != course(schedule):
        print("two runs of it took different courses: it does not replay")
        return 2
    if smaller:
        schedule = shrink(schedule, lambda candidate: tried(candidate) is not None)
    logging.disable(logging.NOTSET)
    with _logged():
        trace = course(schedule)
    print("\n".join(trace[-LAST:]))
    print(f"{schedule.told()}\nat step {failed.step} of the whole: {failed.why}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
