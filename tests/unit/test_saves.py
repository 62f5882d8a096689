"""How long the trainer takes to save, as it was seen."""

from __future__ import annotations

import pytest

from runctl_agent.records import FileEntry, FileId, Finished, Kind
from runctl_agent.saves import KEPT, LONGEST, Save, Saves


def finished(name: str, size: int = 100, *, weights: bool = True, complete: bool = True) -> Finished:
    return Finished("/data", name, Kind.FILE, 0, weights, complete, (FileEntry(name, FileId(1, 1, size, 0)),), 0.0)


def saved(saves: Saves, name: str, took: float, size: int = 100) -> None:
    saves.waits([("/data", name)], 1000.0)
    saves.finishes(finished(name, size), 1000.0 + took)


def test_nothing_is_known_before_the_first() -> None:
    saves = Saves()
    assert (saves.known, saves.seconds, saves.bytes) == ((), None, None)


def test_a_save_takes_from_its_first_sight_to_its_end() -> None:
    saves = Saves()
    for now in (1000.0, 1005.0, 1010.0):
        saves.waits([("/data", "a.pt"), ("/data", "b.pt")], now)
    saves.finishes(finished("a.pt", 700), 1012.5)
    assert (saves.known, saves.seconds, saves.bytes) == ((Save(12.5, 700),), 12.5, 700)


def test_what_went_between_two_looks_begins_anew() -> None:
    saves = Saves()
    saves.waits([("/data", "a.pt")], 1000.0)
    saves.waits([], 1010.0)
    saves.waits([("/data", "a.pt")], 1020.0)
    saves.finishes(finished("a.pt"), 1021.0)
    assert saves.seconds == 1.0


def test_what_was_finished_at_its_first_sight_took_no_time_that_was_seen() -> None:
    saves = Saves()
    saves.finishes(finished("a.pt"), 1000.0)
    assert saves.known == (Save(0.0, 100),)


@pytest.mark.parametrize(("weights", "complete"), [(False, True), (True, False)])
def test_what_is_no_whole_checkpoint_tells_nothing(weights: bool, complete: bool) -> None:
    saves = Saves()
    saves.finishes(finished("a.pt", weights=weights, complete=complete), 1000.0)
    assert saves.known == ()


def test_what_was_seen_half_an_hour_ago_was_no_save_in_one_go() -> None:
    saves = Saves()
    saved(saves, "a.pt", LONGEST)
    assert saves.known == ()
    saved(saves, "b.pt", LONGEST - 1)
    assert saves.seconds == LONGEST - 1


def test_the_slowest_and_the_largest_of_the_last_few_count() -> None:
    saves = Saves([Save(50.0, 900)])
    assert (saves.seconds, saves.bytes) == (50.0, 900)
    saved(saves, "slow.pt", 9.0, 10)
    for n in range(KEPT - 2):
        saved(saves, f"{n}.pt", 1.0, 20)
    assert (saves.seconds, saves.bytes) == (50.0, 900)
    saved(saves, "one-more.pt", 2.0, 30)
    assert (saves.seconds, saves.bytes) == (9.0, 30)
    assert len(saves.known) == KEPT
