"""What is kept from one look at a name to the next, and what is not."""

from __future__ import annotations

import pytest

from runctl_agent.disk.settle import Settler
from runctl_agent.records import Change, Hinted, Kind, Proof, Writer
from tests.unit.test_settle import ROOT, at, file, last, look, names


@pytest.fixture
def settler() -> Settler:
    return Settler(2.0)


def test_a_look_that_shows_nothing_new_is_no_look_that_failed(settler: Settler) -> None:
    seen = last(proof=Proof.UNKNOWN)
    settler.observe(seen, at(0))
    assert settler.due(at(2)) == [(ROOT, "last.pt")]
    settler.observe(seen, at(1.9))
    assert settler.next_look(at(2)) == 1002.0
    assert settler.due(at(2)) == [(ROOT, "last.pt")]


def test_what_is_added_to_a_checkpoint_that_the_journal_knows_leaves_it_whole(settler: Settler) -> None:
    whole = (file("model.safetensors", -2.0), file("trainer_state.json", -1.0))
    first = look("checkpoint-5", *whole, kind=Kind.HUGGINGFACE)
    settler.remember(ROOT, "checkpoint-5", first.signature)
    settler.observe(first, at(0))
    more = look("checkpoint-5", *whole, file("merged.bin", 5), kind=Kind.HUGGINGFACE)
    settler.observe(more, at(6))
    settler.observe(more, at(9))
    assert [one.complete for one in settler.finished(at(9))] == [True]


def test_a_hint_of_what_went_says_nothing_of_what_comes_under_its_name(settler: Settler) -> None:
    settler.hint(Change(ROOT, "last.pt", Hinted.CLOSED), at(0))
    settler.gone(ROOT, "last.pt")
    settler.observe(last(mtime=4, writer=Writer.UNKNOWN), at(5))
    assert settler.finished(at(5)) == []
    settler.observe(last(mtime=4, writer=Writer.UNKNOWN), at(7))
    assert names(settler.finished(at(7))) == ["last.pt"]


def test_the_first_of_several_that_wait_for_a_moment_holds_back_what_came_after_it(settler: Settler) -> None:
    settler.observe(look("first.pt", file("first.pt", 0.000)), at(0.009))
    settler.observe(look("third.pt", file("third.pt", 0.004)), at(0.009))
    settler.observe(look("second.pt", file("second.pt", 0.002)), at(0.014))
    assert settler.finished(at(0.014)) == []
    settler.observe(look("first.pt", file("first.pt", 0.000)), at(0.013))
    assert names(settler.finished(at(0.014))) == ["first.pt", "second.pt"]


def test_what_the_trainer_has_locked_does_not_pass_by_itself(settler: Settler) -> None:
    settler.observe(look("last.pt", file("last.pt", 0.000), lock=True), at(0.009))
    assert not settler.passing()


def test_a_close_told_beside_the_arrival_of_its_directory_counts_when_more_comes(settler: Settler) -> None:
    model = file("model.safetensors", -2.0, writer=Writer.UNKNOWN)
    settler.hint(Change(ROOT, "checkpoint-5", Hinted.ARRIVED), at(0))
    settler.hint(Change(ROOT, "checkpoint-5/model.safetensors", Hinted.CLOSED), at(0))
    settler.observe(look("checkpoint-5", model, kind=Kind.HUGGINGFACE), at(0))
    assert settler.finished(at(0)) == []
    settler.observe(look("checkpoint-5", model, file("trainer_state.json", 0.5), kind=Kind.HUGGINGFACE), at(1))
    assert names(settler.finished(at(1))) == ["checkpoint-5"]


def test_a_last_part_that_came_under_our_eyes_is_new_however_old_its_time(settler: Settler) -> None:
    model, state = file("model.safetensors", -50.0), file("trainer_state.json", -40.0)
    settler.observe(look("checkpoint-5", model, kind=Kind.HUGGINGFACE), at(0))
    settler.observe(look("checkpoint-5", model, state, kind=Kind.HUGGINGFACE), at(1))
    assert names(settler.finished(at(1))) == ["checkpoint-5"]


@pytest.mark.parametrize("what", [Hinted.CLOSED, Hinted.ARRIVED])
def test_what_was_told_of_a_file_counts_while_others_come_and_go(settler: Settler, what: Hinted) -> None:
    model = file("pytorch_model.bin", -2.0, writer=Writer.UNKNOWN)
    for path in ("pytorch_model.bin", "optimizer.pt.tmp"):
        settler.hint(Change(ROOT, f"checkpoint-5/{path}", what), at(0))
    passing = file("optimizer.pt.tmp", -2.0, writer=Writer.UNKNOWN)
    settler.observe(look("checkpoint-5", model, passing, kind=Kind.HUGGINGFACE), at(0))
    settler.observe(look("checkpoint-5", model, file("trainer_state.json", 0.5), kind=Kind.HUGGINGFACE), at(1))
    assert names(settler.finished(at(1))) == ["checkpoint-5"]


@pytest.mark.parametrize("size", [50, 200])
def test_what_was_written_in_place_may_have_become_smaller_or_larger(settler: Settler, size: int) -> None:
    settler.observe(last(), at(0))
    assert names(settler.finished(at(0))) == ["last.pt"]
    settler.observe(last(mtime=3, size=size), at(4))
    assert names(settler.finished(at(4))) == ["last.pt"]
    assert settler.rewritten(ROOT, "last.pt")
