"""Which epoch an agent writes under, and in which one what it finds on its disk ranks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runctl_agent.lineage import Lineage
from runctl_agent.records import ProcessId
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
        self.trainer: ProcessId | None = None

    def boot(self) -> int:
        """The epoch that it writes under."""
        self.boots += 1
        self.trainer = None
        self.start_agent()
        return self.ensure()

    def start_agent(self) -> None:
        committer = Committer(self.store, KEYS, OwnNonces(), RUN, self.instance)
        self.lineage = Lineage(
            OwnNonces(),
            self.journal,
            committer,
            self.instance,
            f"boot-{self.boots}",
            backlog=list,
            trainer=lambda: self.trainer,
        )

    def ensure(self) -> int:
        return self.lineage.ensure()

    def trains(self, pid: int) -> None:
        self.trainer = ProcessId(pid, 1, f"boot-{self.boots}")

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


def test_a_disk_whose_epoch_committed_nothing_ranks_in_it(machines: tuple[Machine, Machine]) -> None:
    """As what is in its journal does, which may be older."""
    one, _ = machines
    one.commits(10, one.boot())
    assert one.boot() == 2
    assert (one.boot(), one.behind) == (3, 2)


def test_where_the_whole_run_was_deleted_the_disk_has_no_rank_above_what_comes(machines: tuple[Machine, Machine]) -> None:
    one, _ = machines
    for epoch in (1, 2, 3):
        one.commits(10 * epoch, one.boot())
    one.store.objects.clear()
    assert (one.boot(), one.behind) == (1, 0)


def test_an_epoch_taken_before_the_training_began_is_that_training_s(machines: tuple[Machine, Machine]) -> None:
    one, _ = machines
    for epoch, pid in ((1, 100), (2, 200)):
        assert one.boot() == epoch
        one.trains(pid)
        assert one.ensure() == epoch, "it was taken for whoever is started"
        one.start_agent()
        assert one.ensure() == epoch


def test_another_training_in_the_same_boot_has_an_epoch_of_its_own(machines: tuple[Machine, Machine]) -> None:
    one, _ = machines
    one.boot()
    one.trains(100)
    one.commits(10, one.ensure())
    one.trains(101)
    assert (one.ensure(), one.behind) == (2, 1)
    assert one.ensure() == 2


def test_a_zombie_whose_agent_is_restarted_does_not_take_the_run_back(machines: tuple[Machine, Machine]) -> None:
    one, two = machines
    assert one.boot() == 1
    assert two.boot() == 2
    one.start_agent()
    assert one.ensure() == 1, "the same boot: another instance has it since"
    assert two.ensure() == 2
    assert Committer(one.store, KEYS, OwnNonces(), RUN, "i-one").fenced_by(1)


def test_a_zombie_that_boots_anew_takes_the_run(machines: tuple[Machine, Machine]) -> None:
    one, two = machines
    one.boot()
    two.boot()
    assert one.boot() == 3


def test_an_agent_that_another_one_of_its_instance_overtook_takes_an_epoch(machines: tuple[Machine, Machine]) -> None:
    """A journal come back, or a second one: whose the epochs are is not known any more."""
    one, two = machines
    two.instance = one.instance
    assert (one.boot(), two.boot()) == (1, 2)
    one.start_agent()
    assert one.ensure() == 3
