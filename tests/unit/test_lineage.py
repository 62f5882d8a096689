"""Which epoch an agent writes under, and in which one what it finds on its disk ranks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runctl_agent.lineage import Lineage
from runctl_agent.store.commit import Committer
from runctl_agent.store.journal import Journal
from tests.fakes.manifests import KEYS, RUN, OwnNonces, manifest_of, put_data
from tests.fakes.memory_store import MemoryStore


class Machine:
    """One disk; every `boot` is another life of it."""

    def __init__(self, store: MemoryStore, path: Path, instance: str) -> None:
        self.store = store
        self.instance = instance
        self.journal = Journal(str(path), owner="me", alive=lambda owner: owner == "me")
        self.boots = 0

    def boot(self) -> int:
        """The epoch that it writes under."""
        self.boots += 1
        committer = Committer(self.store, KEYS, OwnNonces(), RUN, self.instance)
        boot = f"boot-{self.boots}"
        lineage = Lineage(OwnNonces(), self.journal, committer, self.instance, boot, backlog=list, trainer=lambda: None)
        return lineage.ensure()

    def commits(self, step: int, epoch: int) -> None:
        manifest = manifest_of(f"checkpoint-{step}", step, epoch=epoch, seq=step)
        put_data(self.store, manifest)
        Committer(self.store, KEYS, OwnNonces(), RUN, self.instance).commit(manifest)

    @property
    def behind(self) -> int:
        held = self.journal.epoch()
        assert held is not None
        return held.rank_epoch_of_backlog


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def machines(store: MemoryStore, tmp_path: Path) -> Iterator[tuple[Machine, Machine]]:
    both = Machine(store, tmp_path / "one.db", "i-one"), Machine(store, tmp_path / "two.db", "i-two")
    yield both
    for machine in both:
        machine.journal.close()


def test_the_first_epoch_has_nothing_behind_it(machines: tuple[Machine, Machine]) -> None:
    one, _ = machines
    assert (one.boot(), one.behind) == (1, 0)


def test_a_disk_that_goes_on_ranks_with_what_it_committed(machines: tuple[Machine, Machine]) -> None:
    one, _ = machines
    one.commits(10, one.boot())
    assert (one.boot(), one.behind) == (2, 1)


def test_a_new_disk_ranks_with_what_latest_names(machines: tuple[Machine, Machine]) -> None:
    """It may be the volume that the machine before had."""
    one, two = machines
    one.commits(10, one.boot())
    assert (two.boot(), two.behind) == (2, 1)


def test_an_old_disk_come_back_ranks_in_the_epoch_that_it_had(machines: tuple[Machine, Machine]) -> None:
    one, two = machines
    one.commits(10, one.boot())
    two.commits(15, two.boot())
    assert (one.boot(), one.behind) == (3, 1)
