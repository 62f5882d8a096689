"""The whole agent under random kills and a store that does not answer; a failing seed replays exactly.

pytest -n0 tests/simulation/test_agent.py -k "seed or 17"    # RUNCTL_SEED=17 runs that one alone
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.simulation.world import World

SEEDS = 100
BATCH = 10


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_the_promises_hold(first: int, disk: Path) -> None:
    only = os.environ.get("RUNCTL_SEED")
    seeds = [int(only)] if only else range(first, first + BATCH)
    for seed in seeds:
        world = World(seed, disk / str(seed))
        try:
            world.run()
        except BaseException as error:
            raise AssertionError(f"seed {seed} at step {world.scheduler.steps}: {world.plan}") from error


def test_retention_takes_its_share(disk: Path) -> None:
    world = World(1, disk)
    world.run()
    manifests = [key for key in world.store.objects if key.startswith(world.keys.manifests)]
    assert 2 <= len(manifests) < len(world.promises.manifests)


def test_a_seed_replays_exactly(disk: Path) -> None:
    def course(folder: Path) -> tuple[int, float, list[str]]:
        world = World(11, folder)
        world.run()
        return world.scheduler.steps, world.scheduler.mono, sorted(world.store.objects)

    assert course(disk / "one") == course(disk / "two")
