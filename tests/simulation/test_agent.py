"""The whole agent under schedules of faults, by the hundred; `make simulation` runs ten thousand, smaller ones.

python -m tests.simulation.replay SEED    # shows a failing one again, and makes it smaller
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulation.schedule import Schedule, schedule_of
from tests.simulation.world import World

SEEDS = 100
BATCH = 10


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_the_promises_hold(first: int, disk: Path) -> None:
    for seed in range(first, first + BATCH):
        schedule = schedule_of(seed, long=True)
        world = World(schedule, disk / str(seed))
        try:
            world.run()
        except BaseException as error:
            again = f"python -m tests.simulation.replay --long {seed}"
            raise AssertionError(f"at step {world.scheduler.steps}; {again}\n{schedule.told()}") from error


def _course(schedule: Schedule, folder: Path) -> tuple[int, int, float, list[str]]:
    world = World(schedule, folder)
    world.run()
    return world.scheduler.mark, world.scheduler.steps, world.scheduler.mono, sorted(world.store.objects)


@pytest.mark.parametrize("seed", [11, 15])
def test_a_seed_replays_exactly(disk: Path, seed: int) -> None:
    assert _course(schedule_of(seed), disk / "one") == _course(schedule_of(seed), disk / "two")


def test_seeds_differ(disk: Path) -> None:
    assert len({_course(schedule_of(seed), disk / str(seed))[0] for seed in range(5)}) == 5


def test_retention_takes_its_share(disk: Path) -> None:
    """Of some seed's checkpoints: what the promises say of deletions is said of some."""
    for seed in range(40):
        world = World(schedule_of(seed), disk / str(seed))
        world.run()
        there = [key for key in world.store.objects if key.startswith(world.keys.manifests)]
        if 2 <= len(there) < len(world.promises.manifests):
            return
    raise AssertionError("no retention deleted anything")
