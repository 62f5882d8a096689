"""What a directory's last-written part, its ranks and its neighbours say of it."""

from __future__ import annotations

import pytest

from runctl_agent.disk.settle import Settler
from runctl_agent.records import Change, FileReading, Hinted, Kind, Proof, Reading, Writer
from tests.unit.test_settle import ROOT, at, file, look, names


@pytest.fixture
def settler() -> Settler:
    return Settler(2.0)


def trainers(name: str, *files: FileReading) -> Reading:
    """A checkpoint of Hugging Face's Trainer, whose last file is older than the others need to be."""
    return look(name, *files, kind=Kind.HUGGINGFACE)


STATE = file("trainer_state.json", -1.0)
MODEL = file("model.safetensors", -2.0)


def test_what_was_only_remembered_is_not_waited_for_before_it_is_seen(settler: Settler) -> None:
    settler.remember(ROOT, "last.pt", "signature")
    assert (settler.unfinished(), settler.reasons(), settler.next_look(at(0))) == ([], {}, None)
    assert settler.finished(at(100), ended=True) == []


def test_a_checkpoint_of_the_trainer_goes_at_once_when_its_last_part_is_there(settler: Settler) -> None:
    settler.observe(trainers("checkpoint-5", MODEL), at(0))
    assert settler.finished(at(0)) == []
    assert settler.reasons() == {(ROOT, "checkpoint-5"): "trainer_state.json, written last, is missing"}
    settler.observe(trainers("checkpoint-5", MODEL, STATE), at(0.1))
    assert names(settler.finished(at(0.1))) == ["checkpoint-5"]


def test_a_directory_of_the_trainers_name_without_its_files_waits_for_them_where_the_trainer_writes(settler: Settler) -> None:
    settler.observe(trainers("checkpoint-5", MODEL, STATE), at(0))
    begun = look("checkpoint-10", file("model.safetensors", 0), kind=Kind.DIRECTORY)
    other = look("mine", file("model.safetensors", 0), kind=Kind.DIRECTORY)
    for second in (1, 30):
        settler.observe(begun, at(second))
        settler.observe(other, at(second))
    assert names(settler.finished(at(30))) == ["checkpoint-5", "mine"]
    assert settler.reasons() == {(ROOT, "checkpoint-10"): "trainer_state.json, written last, is missing"}


def test_a_directory_of_the_trainers_name_needs_only_quiet_where_no_trainer_was_seen(settler: Settler) -> None:
    begun = look("checkpoint-10", file("model.safetensors", 0), kind=Kind.DIRECTORY)
    settler.observe(begun, at(1))
    settler.observe(begun, at(30))
    assert names(settler.finished(at(30))) == ["checkpoint-10"]


def test_a_last_part_older_than_weights_was_written_for_what_was_there_before(settler: Settler) -> None:
    again = trainers("checkpoint-5", file("model.safetensors", 0), STATE)
    settler.observe(again, at(1))
    settler.observe(again, at(60))
    assert settler.finished(at(60)) == []
    assert "written for what was there before" in settler.reasons()[ROOT, "checkpoint-5"]
    assert [one.complete for one in settler.finished(at(60), ended=True)] == [False]


def test_a_rank_that_writes_its_own_file_later_is_no_new_generation(settler: Settler) -> None:
    """Each rank saves its random state with no barrier after it."""
    late = trainers("checkpoint-5", MODEL, STATE, file("rng_state_1.pth", 0))
    settler.observe(late, at(1))
    assert settler.finished(at(1)) == [], "another rank's may still come"
    settler.observe(late, at(3))
    assert [one.complete for one in settler.finished(at(3))] == [True]


def test_a_later_file_that_is_no_weights_leaves_the_last_part_in_force(settler: Settler) -> None:
    noted = trainers("checkpoint-5", MODEL, STATE, file("README.md", 0))
    settler.observe(noted, at(1))
    assert settler.finished(at(1)) == [], "it came after the last part: only quiet tells that it is done"
    settler.observe(noted, at(3))
    assert [one.complete for one in settler.finished(at(3))] == [True]


def test_the_ranks_of_the_checkpoint_before_are_those_of_the_next(settler: Settler) -> None:
    ranks = (file("rng_state_0.pth", -3), file("rng_state_1.pth", -3))
    first = trainers("checkpoint-5", MODEL, *ranks, STATE)
    settler.observe(first, at(0))
    assert settler.finished(at(0)) == [], "nobody knows yet how many ranks there are"
    settler.observe(first, at(2))
    assert names(settler.finished(at(2))) == ["checkpoint-5"]

    def second(*ranks: FileReading) -> Reading:
        return trainers("checkpoint-10", file("model.safetensors", 8), *ranks, file("trainer_state.json", 9))

    settler.observe(second(file("rng_state_0.pth", 7)), at(10))
    assert settler.finished(at(10)) == [], "a rank is behind"
    settler.observe(second(file("rng_state_0.pth", 7), file("rng_state_1.pth", 9)), at(10.1))
    assert names(settler.finished(at(10.1))) == ["checkpoint-10"]


def test_what_lacks_a_file_of_the_one_before_and_changed_unseen_is_not_whole(settler: Settler) -> None:
    """A rotation that was cut short while no agent looked."""
    settler.observe(trainers("checkpoint-10", MODEL, file("optimizer.pt", -2), STATE), at(0))
    assert names(settler.finished(at(0))) == ["checkpoint-10"]
    settler.remember(ROOT, "checkpoint-5", "what it was")
    cut = trainers("checkpoint-5", MODEL, STATE)
    settler.observe(cut, at(1))
    settler.observe(cut, at(60))
    assert settler.finished(at(60)) == []
    assert settler.reasons()[ROOT, "checkpoint-5"] == "optimizer.pt is missing, which the checkpoint before it has"


def test_files_added_to_what_was_finished_leave_it_whole(settler: Settler) -> None:
    settler.observe(trainers("checkpoint-5", MODEL, STATE), at(0))
    assert names(settler.finished(at(0))) == ["checkpoint-5"]
    more = trainers("checkpoint-5", MODEL, STATE, file("merged.bin", 5))
    settler.observe(more, at(6))
    settler.observe(more, at(9))
    assert [one.complete for one in settler.finished(at(9))] == [True]


def test_a_save_over_what_was_finished_waits_for_its_own_last_part(settler: Settler) -> None:
    settler.observe(trainers("checkpoint-5", MODEL, STATE), at(0))
    assert names(settler.finished(at(0))) == ["checkpoint-5"]
    again = file("model.safetensors", 5)
    settler.observe(trainers("checkpoint-5", again, STATE), at(6))
    settler.observe(trainers("checkpoint-5", again, STATE), at(60))
    assert settler.finished(at(60)) == []
    assert "written for what was there before" in settler.reasons()[ROOT, "checkpoint-5"]
    settler.observe(trainers("checkpoint-5", again, file("trainer_state.json", 61)), at(61.5))
    assert names(settler.finished(at(61.5))) == ["checkpoint-5"]


def test_a_tree_whose_files_are_taken_out_is_believed_to_keep_the_rest_only_after_long(settler: Settler) -> None:
    def tree(*files: str) -> Reading:
        return look("mine", *(file(one, -5) for one in files), kind=Kind.DIRECTORY)

    settler.observe(tree("a.pt", "b.pt"), at(0))
    settler.observe(tree("a.pt"), at(1))
    settler.observe(tree("a.pt"), at(20.9))
    assert settler.finished(at(20.9)) == []
    assert settler.reasons() == {(ROOT, "mine"): "it has not been quiet for 20 s"}
    settler.observe(tree("a.pt"), at(21))
    assert [one.complete for one in settler.finished(at(21))] == [True]


def test_at_the_end_what_lost_files_is_not_whole(settler: Settler) -> None:
    def tree(*files: str) -> Reading:
        return look("mine", *(file(one, -5) for one in files), kind=Kind.DIRECTORY)

    settler.observe(tree("a.pt", "b.pt"), at(0))
    settler.observe(tree("a.pt"), at(1))
    settler.observe(tree("a.pt"), at(3))
    assert [one.complete for one in settler.finished(at(3), ended=True)] == [False]


def test_a_temporary_file_that_goes_is_no_removal(settler: Settler) -> None:
    settler.observe(look("mine", file("a.pt", -5), file("a.pt.tmp", -5), kind=Kind.DIRECTORY), at(0))
    settler.observe(look("mine", file("a.pt", -5), kind=Kind.DIRECTORY), at(1))
    settler.observe(look("mine", file("a.pt", -5), kind=Kind.DIRECTORY), at(3))
    assert [one.complete for one in settler.finished(at(3), ended=True)] == [True]


def test_an_old_last_part_at_first_sight_needs_quiet(settler: Settler) -> None:
    """It may be on its way out: a rotation that the agent's start came into the middle of."""
    old = trainers("checkpoint-5", file("model.safetensors", -50), file("trainer_state.json", -40))
    settler.observe(old, at(0))
    assert settler.finished(at(0)) == []
    settler.observe(old, at(2))
    assert names(settler.finished(at(2))) == ["checkpoint-5"]


def test_an_old_last_part_goes_at_once_where_the_directory_just_arrived(settler: Settler) -> None:
    old = trainers("checkpoint-5", file("model.safetensors", -50), file("trainer_state.json", -40))
    settler.hint(Change(ROOT, "checkpoint-5", Hinted.ARRIVED), at(0))
    settler.observe(old, at(0))
    assert names(settler.finished(at(0))) == ["checkpoint-5"]


@pytest.mark.parametrize("broken", [{"proof": Proof.UNKNOWN}, {"writer": Writer.UNKNOWN}, {"holes": True}])
def test_a_last_part_that_proves_nothing_needs_quiet(settler: Settler, broken: dict[str, object]) -> None:
    reading = trainers("checkpoint-5", MODEL, file("trainer_state.json", -1.0, **broken))  # type: ignore[arg-type]
    settler.observe(reading, at(0))
    assert settler.finished(at(0)) == []
    settler.observe(reading, at(2))
    assert names(settler.finished(at(2))) == ["checkpoint-5"]
