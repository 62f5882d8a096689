"""When retention has its turn on a living run: after the uploads, giving way to them, and again after a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runctl_agent.contract.spec import Retention
from runctl_agent.errors import StoreRefused
from runctl_agent.pruning import OVERDUE, Pruning, Wish
from runctl_agent.store.journal import HeldEpoch, Journal
from runctl_agent.store.retain import BATCH, Retainer
from tests.fakes.manifests import KEYS, OwnNonces
from tests.unit.test_retain import Run, steps


class Living(Run):
    """A run whose agent has a journal."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self.runtime = OwnNonces()
        journal.take_epoch(HeldEpoch(self.held.epoch, self.held.nonce, 0, 0.0), [])
        self.wish = Wish(self.runtime.event())
        self.pruning = Pruning(self.runtime, Retainer(self.store, KEYS, self.runtime, Retention(keep_last=1)), journal, self.wish)
        self.commits = 0

    def committed(self, count: int = 1) -> None:
        for _ in range(count):
            self.commits += 1
            self.commit(self.commits)

    def turn(self, *, behind: bool = False, disturbed: Callable[[], bool] = lambda: False) -> None:
        self.pruning.turn(self.commits, behind=behind, disturbed=disturbed)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Living]:
    journal = Journal(str(tmp_path / "journal.db"), owner="me", alive=lambda owner: owner == "me")
    yield Living(journal)
    journal.close()


def test_after_a_commit_what_is_doomed_goes(run: Living) -> None:
    run.committed(3)
    run.turn()
    assert steps(run) == [3]
    assert len(run.keys("data/")) == 1
    assert run.pruning.problem == ""


def test_without_a_commit_nothing_is_asked_of_the_store_again(run: Living) -> None:
    run.committed(2)
    run.turn()
    before = len(run.store.calls)
    run.turn()
    assert len(run.store.calls) == before


def test_while_something_is_to_be_sent_it_waits(run: Living) -> None:
    run.committed(2)
    before = len(run.store.calls)
    run.turn(behind=True)
    assert len(run.store.calls) == before
    run.turn()
    assert steps(run) == [2]


def test_while_there_is_always_more_to_be_sent_it_takes_one_batch_at_a_time(run: Living) -> None:
    run.committed(BATCH + 2)
    run.runtime.advance(OVERDUE)
    left: list[tuple[int, int]] = []
    for _ in range(4):
        before = run.store.count("delete")
        run.turn(behind=True)
        left.append((len(run.keys("manifests/")), len(run.keys("data/"))))
        assert run.store.count("delete") - before <= BATCH + 1, "and the one that asks for the right"
    assert left[0] == (2, BATCH + 2)
    assert left[-1] == (1, 1)
    before = len(run.store.calls)
    run.committed()
    calls = len(run.store.calls)
    run.turn(behind=True)
    assert len(run.store.calls) == calls > before


def test_it_gives_way_to_what_comes_in(run: Living) -> None:
    run.committed(3)
    run.turn(disturbed=lambda: True)
    assert len(run.keys("manifests/")) == 3
    run.turn()
    assert len(run.keys("manifests/")) == 1


def test_a_wish_is_met_by_the_next_whole_run_though_nothing_was_committed(run: Living) -> None:
    run.committed(2)
    run.turn()
    run.wish.ask()
    run.turn(disturbed=lambda: True)
    assert run.wish.met == 1, "there was nothing to delete, so nothing to give way in"
    run.committed(2)
    run.wish.ask()
    run.turn(disturbed=lambda: True)
    assert run.wish.met == 1
    run.turn()
    assert run.wish.met == 2


def test_one_who_asks_does_not_wait_for_it_to_be_overdue(run: Living) -> None:
    run.committed(2)
    run.wish.ask()
    for _ in range(3):
        run.turn(behind=True)
    assert run.wish.met == 1
    assert steps(run) == [2]


def test_a_refusal_is_told_with_its_mend_and_tried_again_later(run: Living) -> None:
    run.committed(2)
    run.store.fail_next("delete", StoreRefused("DeleteObject x", "403 AccessDenied", "allow s3:DeleteObject"))
    run.turn()
    assert run.pruning.refused == run.pruning.problem == "retention: DeleteObject x: 403 AccessDenied; allow s3:DeleteObject"
    assert steps(run) == [1, 2]
    run.turn()
    assert steps(run) == [1, 2], "not at once"
    run.runtime.advance(601)
    run.turn()
    assert (run.pruning.refused, run.pruning.problem) == ("", "")
    assert steps(run) == [2]


def test_an_epoch_is_entered_once_and_again_where_that_failed(run: Living) -> None:
    run.store.fail_next("put", times=6)
    run.pruning.enter(1)
    assert run.pruning.problem
    run.runtime.advance(601)
    run.pruning.enter(1)
    assert run.gc().fence == 1
    before = len(run.store.calls)
    run.pruning.enter(1)
    assert len(run.store.calls) == before
    run.pruning.enter(2)
    assert run.gc().fence == 2
