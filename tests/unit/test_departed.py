"""What is remembered of checkpoints that are no longer on disk, and for how long."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from runctl_agent.disk import departed
from runctl_agent.disk.settle import Settler
from runctl_agent.records import FileId, FileReading, Kind, Proof, Reading, Writer
from tests.unit.test_settle import ROOT, START, at, file, last, look, names


def saved(name: str, number: int, files: int) -> Reading:
    entries = tuple(
        FileReading(
            f"shard-{n:05}.bin", FileId(1, number * 1000 + n, 10**9 + n, (START - 5) * 10**9 + n), Proof.WHOLE, Writer.NONE, False
        )
        for n in range(files)
    )
    return Reading(ROOT, name, Kind.DIRECTORY, True, number, entries, False)


def rotate(settler: Settler, count: int, files: int, *, first: int = 0) -> None:
    for number in range(first, first + count):
        reading = saved(f"save-{number}", number, files)
        settler.observe(reading, at(0))
        settler.observe(reading, at(2))
        assert len(settler.finished(at(2))) == 1
        settler.gone(ROOT, f"save-{number}")


def test_a_long_run_keeps_little_of_what_rotation_took() -> None:
    settler = Settler(2.0)
    rotate(settler, 5, 50)
    gc.collect()
    tracemalloc.start()
    try:
        rotate(settler, 300, 50, first=5)
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2 << 20


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departed, "RECENT_FILES", 3)
    monkeypatch.setattr(departed, "LONGEST", 4)


@pytest.mark.usefixtures("few")
def test_what_went_long_ago_is_still_known_by_its_signature() -> None:
    settler = Settler(2.0)
    rotate(settler, 4, 2)
    settler.observe(saved("save-0", 0, 2), at(9))
    settler.observe(saved("save-0", 0, 2), at(20))
    assert settler.finished(at(20)) == []
    assert settler.unfinished() == []


@pytest.mark.usefixtures("few")
def test_a_new_save_under_a_name_of_long_ago_was_not_written_in_place() -> None:
    settler = Settler(2.0)
    rotate(settler, 4, 2)
    settler.observe(saved("save-0", 9, 2), at(9))
    settler.observe(saved("save-0", 9, 2), at(20))
    assert names(settler.finished(at(20))) == ["save-0"]
    assert not settler.rewritten(ROOT, "save-0")


def test_a_file_that_was_empty_for_a_moment_was_rewritten_in_place() -> None:
    settler = Settler(2.0)
    settler.observe(last(), at(0))
    assert len(settler.finished(at(0))) == 1
    settler.gone(ROOT, "last.pt")
    settler.observe(last(mtime=3), at(4))
    assert names(settler.finished(at(4))) == ["last.pt"]
    assert settler.rewritten(ROOT, "last.pt")


@pytest.mark.usefixtures("few")
def test_a_name_that_was_rewritten_stays_one() -> None:
    settler = Settler(2.0)
    for second in (0, 10):
        settler.observe(last(mtime=second), at(second + 1))
        assert len(settler.finished(at(second + 1))) == 1
    settler.gone(ROOT, "last.pt")
    rotate(settler, 3, 2)
    assert settler.rewritten(ROOT, "last.pt")
    settler.observe(last(mtime=20, inode=77), at(21))
    assert settler.rewritten(ROOT, "last.pt")


@pytest.mark.usefixtures("few")
def test_the_oldest_names_are_forgotten_in_the_end() -> None:
    settler = Settler(2.0)
    rotate(settler, 10, 2)
    settler.observe(saved("save-0", 0, 2), at(9))
    settler.observe(saved("save-0", 0, 2), at(20))
    assert names(settler.finished(at(20))) == ["save-0"], "the journal knows it still, and takes it only once"


@pytest.mark.parametrize("long_ago", [False, True])
def test_what_went_and_could_not_be_staged_is_given_out_when_it_is_back(monkeypatch: pytest.MonkeyPatch, long_ago: bool) -> None:
    if long_ago:
        monkeypatch.setattr(departed, "RECENT_FILES", 0)
    settler = Settler(2.0)
    settler.observe(look("a.pt", file("a.pt")), at(0))
    assert len(settler.finished(at(0))) == 1
    settler.gone(ROOT, "a.pt")
    settler.forget(ROOT, "a.pt")
    settler.observe(look("a.pt", file("a.pt")), at(5))
    assert names(settler.finished(at(5))) == ["a.pt"]


def test_what_the_journal_says_of_one_that_went_counts() -> None:
    settler = Settler(2.0)
    settler.observe(last(), at(0))
    assert len(settler.finished(at(0))) == 1
    settler.gone(ROOT, "last.pt")
    newer = last(mtime=5, inode=9)
    settler.remember(ROOT, "last.pt", newer.signature)
    settler.observe(newer, at(9))
    assert settler.finished(at(9)) == []
