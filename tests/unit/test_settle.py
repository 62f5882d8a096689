from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.disk import kinds
from runctl_agent.disk.settle import Settler
from runctl_agent.records import (
    Change,
    FileId,
    FileReading,
    Finished,
    Hinted,
    Kind,
    Moment,
    Proof,
    Reading,
    Writer,
)

ROOT = "/data/checkpoints"
START = 1_800_000_000


def at(seconds: float) -> Moment:
    return Moment(START + seconds, 1000 + seconds)


def file(
    path: str,
    mtime: float = -1.0,
    *,
    size: int = 100,
    inode: int = 0,
    proof: Proof = Proof.WHOLE,
    writer: Writer = Writer.NONE,
    holes: bool = False,
) -> FileReading:
    inode = inode or sum(path.encode())
    return FileReading(path, FileId(1, inode, size, round((START + mtime) * 1e9)), proof, writer, holes)


def look(name: str, *files: FileReading, kind: Kind = Kind.FILE, step: int | None = None, lock: bool = False) -> Reading:
    return Reading(
        root=ROOT,
        name=name,
        kind=kind,
        weights=True,
        step=kinds.step_from_name(name) if step is None else step,
        files=tuple(sorted(files, key=lambda f: f.path)),
        trainer_lock=lock,
    )


def last(mtime: float = -1.0, **given: Any) -> Reading:
    return look("last.pt", file("last.pt", mtime, **given))


def names(found: Sequence[Finished]) -> list[str]:
    return [f.name for f in found]


@pytest.fixture
def settler() -> Settler:
    return Settler(2.0)


def test_a_file_that_proves_itself_goes_at_once(settler: Settler) -> None:
    settler.observe(last(), at(0))
    (finished,) = settler.finished(at(0))
    assert (finished.name, finished.complete, finished.kind, finished.at) == ("last.pt", True, Kind.FILE, START - 1.0)
    assert finished.signature == last().signature
    assert settler.finished(at(10)) == []
    assert settler.next_look(at(0)) is None
    assert settler.unfinished() == []


def test_a_close_told_before_the_writer_is_counted_out_is_looked_at_again_at_once(settler: Settler) -> None:
    settler.hint(Change(ROOT, "last.pt", Hinted.CLOSED), at(0.0))
    settler.observe(look("last.pt", file("last.pt", writer=Writer.OPEN)), at(0.0))
    assert settler.finished(at(0.0)) == []
    assert settler.next_look(at(0.0)) == pytest.approx(1000.01)
    settler.observe(last(), at(0.01))
    assert names(settler.finished(at(0.01))) == ["last.pt"]


def test_a_writer_that_stays_after_a_close_is_asked_more_and_more_seldom(settler: Settler) -> None:
    settler.hint(Change(ROOT, "last.pt", Hinted.CLOSED), at(0.0))
    now, looks = 0.0, 0
    while now < 60:
        settler.observe(look("last.pt", file("last.pt", writer=Writer.OPEN)), at(now))
        due = settler.next_look(at(now))
        assert due is not None
        now, looks = due - 1000, looks + 1
    assert looks < 45  # every 2 s, and a few at first


def test_an_mtime_ahead_by_a_rounding_is_young_and_not_far_in_the_future(settler: Settler) -> None:
    settler.observe(last(0.0000005), at(0.0))
    assert settler.finished(at(0.0)) == []
    look_at = settler.next_look(at(0.0))
    assert look_at == pytest.approx(1000.011, abs=0.002)


def test_the_granularity_is_waited_for(settler: Settler) -> None:
    settler.observe(last(mtime=0), at(0.004))
    assert settler.finished(at(5)) == []
    look_at = settler.next_look(at(0.004))
    assert look_at is not None
    assert look_at == pytest.approx(1000.01, abs=0.002)
    settler.observe(last(mtime=0), at(look_at - 1000))
    assert names(settler.finished(at(0.012))) == ["last.pt"]


def test_an_mtime_in_the_future_means_quiet(settler: Settler) -> None:
    settler.observe(last(mtime=3600), at(0))
    assert settler.finished(at(0)) == []
    assert settler.next_look(at(0)) == 1002.0
    settler.observe(last(mtime=3600), at(2))
    assert names(settler.finished(at(2))) == ["last.pt"]


@pytest.mark.parametrize(
    "given", [{"proof": Proof.UNKNOWN}, {"holes": True}, {"writer": Writer.UNKNOWN}, {"proof": Proof.UNKNOWN, "holes": True}]
)
def test_what_cant_prove_itself_needs_quiet(settler: Settler, given: dict[str, Any]) -> None:
    settler.observe(last(**given), at(0))
    assert settler.finished(at(60)) == [], "nobody has looked again"
    assert settler.next_look(at(0)) == 1002.0
    assert settler.due(at(1)) == []
    assert settler.due(at(2)) == [(ROOT, "last.pt")]
    settler.observe(last(**given), at(1.9))
    assert settler.finished(at(1.9)) == []
    settler.observe(last(**given), at(2))
    assert names(settler.finished(at(2))) == ["last.pt"]


def test_a_look_that_does_not_come_is_not_asked_for_in_a_loop(settler: Settler) -> None:
    settler.observe(last(proof=Proof.UNKNOWN), at(0))
    assert settler.due(at(2)) == [(ROOT, "last.pt")]
    assert settler.due(at(2)) == []
    assert settler.next_look(at(2)) == 1004.0
    assert settler.due(at(4)) == [(ROOT, "last.pt")]
    settler.observe(last(proof=Proof.UNKNOWN), at(4))
    assert names(settler.finished(at(4))) == ["last.pt"]


def test_each_change_begins_the_quiet_time_again(settler: Settler) -> None:
    for second in range(10):
        settler.observe(last(mtime=second, proof=Proof.UNKNOWN, size=second + 1), at(second))
        assert settler.finished(at(second)) == []
    settler.observe(last(mtime=9, proof=Proof.UNKNOWN, size=10), at(11))
    assert names(settler.finished(at(11))) == ["last.pt"]


@pytest.mark.parametrize("what", [Hinted.CLOSED, Hinted.ARRIVED])
def test_a_close_or_a_rename_counts_where_leases_fail(settler: Settler, what: Hinted) -> None:
    settler.hint(Change(ROOT, "last.pt", what), at(0))
    settler.observe(last(writer=Writer.UNKNOWN), at(0))
    assert names(settler.finished(at(0))) == ["last.pt"]


def test_a_hint_says_nothing_of_later_content(settler: Settler) -> None:
    settler.hint(Change(ROOT, "last.pt", Hinted.CLOSED), at(-5))
    settler.observe(last(mtime=-6, writer=Writer.UNKNOWN, proof=Proof.BROKEN), at(-5))
    settler.observe(last(mtime=-1, writer=Writer.UNKNOWN), at(0))
    assert settler.finished(at(0)) == []


def test_a_mere_change_is_no_evidence(settler: Settler) -> None:
    settler.hint(Change(ROOT, "last.pt", Hinted.CHANGED), at(0))
    settler.hint(Change(ROOT, "", Hinted.CHANGED), at(0))
    settler.observe(last(writer=Writer.UNKNOWN), at(0))
    assert settler.finished(at(0)) == []


def test_safetensors_is_renamed_before_it_is_closed(settler: Settler) -> None:
    name = "model.safetensors"
    open_ = look(name, file(name, writer=Writer.UNKNOWN))
    settler.hint(Change(ROOT, name, Hinted.ARRIVED), at(0))
    settler.observe(open_, at(0))
    assert settler.finished(at(0)) == []
    settler.hint(Change(ROOT, name, Hinted.CLOSED), at(0.1))
    settler.observe(open_, at(0.1))
    assert names(settler.finished(at(0.1))) == [name]


def test_an_unrecognised_body_that_arrived_by_rename_goes_at_once(settler: Settler) -> None:
    settler.hint(Change(ROOT, "last.pt", Hinted.ARRIVED), at(0))
    settler.observe(last(proof=Proof.UNKNOWN), at(0))
    assert names(settler.finished(at(0))) == ["last.pt"]


def test_an_open_writer_holds_it_however_long(settler: Settler) -> None:
    for second in (0, 2, 4, 600):
        settler.observe(last(writer=Writer.OPEN), at(second))
        assert settler.finished(at(second)) == []
        assert settler.next_look(at(second)) == 1000 + second + 2
    assert settler.reasons() == {(ROOT, "last.pt"): "last.pt is open for writing"}
    settler.observe(last(), at(601))
    assert names(settler.finished(at(601))) == ["last.pt"]


def test_the_trainers_lock_counts_while_training_runs(settler: Settler) -> None:
    settler.observe(replace(last(), trainer_lock=True), at(0))
    assert settler.finished(at(0)) == []
    assert settler.next_look(at(0)) == 1002.0
    assert "last.pt.lock" in settler.reasons()[ROOT, "last.pt"]
    assert names(settler.finished(at(0), ended=True)) == ["last.pt"]


def test_no_busy_loop_without_a_quiet_time() -> None:
    settler = Settler(0.0)
    settler.observe(last(writer=Writer.OPEN), at(0))
    assert settler.next_look(at(0)) == 1000.25


def test_what_breaks_its_format_waits_for_the_end(settler: Settler) -> None:
    settler.observe(last(proof=Proof.BROKEN), at(0))
    assert settler.next_look(at(0)) == 1002.0
    settler.observe(last(proof=Proof.BROKEN), at(2))
    assert settler.finished(at(3600)) == []
    assert settler.next_look(at(3600)) is None
    assert settler.unfinished() == [(ROOT, "last.pt", last().signature)]
    assert settler.reasons() == {(ROOT, "last.pt"): "last.pt is not whole"}
    (finished,) = settler.finished(at(3600), ended=True)
    assert (finished.complete, finished.step) == (False, 0)
    assert settler.finished(at(3600), ended=True) == []


def test_at_the_end_too_it_must_be_quiet(settler: Settler) -> None:
    settler.observe(last(proof=Proof.BROKEN), at(0))
    assert settler.finished(at(0), ended=True) == []
    settler.observe(last(proof=Proof.BROKEN), at(2))
    assert [f.complete for f in settler.finished(at(2), ended=True)] == [False]
    settler.observe(last(mtime=3, size=200), at(4))
    assert [f.complete for f in settler.finished(at(4))] == [True]


def test_a_name_written_again_and_again_is_given_out_each_time(settler: Settler) -> None:
    for second in range(0, 100, 10):
        settler.observe(last(mtime=second), at(second + 1))
        (finished,) = settler.finished(at(second + 1))
        assert finished.files[0].id.mtime_ns == (START + second) * 10**9
        assert settler.rewritten(ROOT, "last.pt") is (second > 0)


def test_replaced_by_rename_is_not_rewritten_in_place(settler: Settler) -> None:
    for second in range(3):
        settler.observe(last(mtime=second, inode=second + 1), at(second + 1))
        assert len(settler.finished(at(second + 1))) == 1
    assert not settler.rewritten(ROOT, "last.pt")


def test_what_is_in_the_journal_is_not_given_out(settler: Settler) -> None:
    settler.remember(ROOT, "last.pt", last().signature)
    assert settler.unfinished() == []
    settler.observe(last(), at(0))
    assert settler.finished(at(100), ended=True) == []
    assert not settler.rewritten(ROOT, "last.pt")
    settler.observe(last(mtime=5), at(6))
    assert names(settler.finished(at(6))) == ["last.pt"]
    assert settler.rewritten(ROOT, "last.pt")


def test_changed_while_no_agent_looked_may_be_in_place(settler: Settler) -> None:
    settler.remember(ROOT, "last.pt", "of other content")
    settler.observe(last(), at(0))
    assert names(settler.finished(at(0))) == ["last.pt"]
    assert settler.rewritten(ROOT, "last.pt")


def test_what_the_journal_takes_over_is_no_longer_waited_for(settler: Settler) -> None:
    settler.observe(last(proof=Proof.BROKEN), at(0))
    settler.remember(ROOT, "last.pt", last().signature)
    assert settler.unfinished() == []


def test_the_files_of_what_the_journal_took_over_are_known_from_the_next_look(settler: Settler) -> None:
    """Replaced by a rename later, it was not rewritten in place."""
    seen = last(proof=Proof.BROKEN)
    settler.observe(seen, at(0))
    settler.remember(ROOT, "last.pt", seen.signature)
    settler.observe(seen, at(1))
    settler.observe(last(mtime=2, inode=99), at(3))
    assert names(settler.finished(at(3))) == ["last.pt"]
    assert not settler.rewritten(ROOT, "last.pt")


@pytest.mark.parametrize(("given", "step"), [({}, 0), ({"step": 500}, 500)])
def test_the_steps_in_the_journal_are_those_before_it(settler: Settler, given: dict[str, int], step: int) -> None:
    settler.remember(ROOT, "step_7.pt", "of other content", **given)
    settler.observe(last(), at(0))
    assert [f.step for f in settler.finished(at(0))] == [step]


def test_what_could_not_be_staged_is_given_out_again(settler: Settler) -> None:
    settler.observe(last(), at(0))
    assert len(settler.finished(at(0))) == 1
    settler.forget(ROOT, "last.pt")
    assert len(settler.finished(at(1))) == 1
    assert settler.finished(at(1)) == []


def test_gone_and_back_with_the_same_content_is_known(settler: Settler) -> None:
    settler.observe(last(), at(0))
    assert len(settler.finished(at(0))) == 1
    settler.gone(ROOT, "last.pt")
    settler.gone(ROOT, "never.pt")
    assert settler.unfinished() == []
    settler.observe(last(), at(5))
    assert settler.finished(at(5)) == []


def test_order_of_finishing(settler: Settler) -> None:
    for name, mtime in (("b.pt", -3.0), ("a.pt", -2.0), ("d.pt", -9.0), ("c.pt", -3.0)):
        settler.observe(look(name, file(name, mtime)), at(0))
    assert names(settler.finished(at(0))) == ["d.pt", "b.pt", "c.pt", "a.pt"]


def test_in_one_tick_of_the_clock_by_step(settler: Settler) -> None:
    """Ten checkpoints within the 4 ms in which many file systems' clocks stand still."""
    for step in (10, 9, 1, 2):
        settler.observe(look(f"step_{step}.pt", file(f"step_{step}.pt")), at(0))
    assert [f.step for f in settler.finished(at(0))] == [1, 2, 9, 10]


# --- nobody is overtaken while waiting for a moment only ---


def young(name: str, mtime: float = 0.0, **given: Any) -> Reading:
    return look(name, file(name, mtime, **given))


def test_what_waits_for_the_granularity_is_not_overtaken(settler: Settler) -> None:
    """The reader was held up between the two looks: the older file was read when it was young."""
    settler.observe(young("first.pt", 0.000), at(0.009))
    settler.observe(young("second.pt", 0.001), at(0.014))
    assert settler.finished(at(0.014)) == []
    assert settler.passing()
    due = settler.next_look(at(0.014))
    assert due == pytest.approx(1000.011, abs=0.002)
    assert settler.due(at(0.015)) == [(ROOT, "first.pt")], "the other is finished"
    settler.observe(young("first.pt", 0.000), at(0.015))
    assert names(settler.finished(at(0.015))) == ["first.pt", "second.pt"]
    assert not settler.passing()


def test_a_directory_that_waits_for_the_granularity_is_not_overtaken_either(settler: Settler) -> None:
    files = (file("trainer_state.json", 0.0), file("model.safetensors", -1.0))
    tree = look("checkpoint-1", *files, kind=Kind.HUGGINGFACE)
    settler.observe(tree, at(0.009))
    settler.observe(young("last.pt", 0.001), at(0.014))
    assert settler.finished(at(0.014)) == []
    settler.observe(tree, at(0.015))
    assert names(settler.finished(at(0.015))) == ["checkpoint-1", "last.pt"]


def test_a_close_that_is_not_counted_out_yet_is_not_overtaken(settler: Settler) -> None:
    settler.hint(Change(ROOT, "first.pt", Hinted.CLOSED), at(0.02))
    settler.observe(young("first.pt", writer=Writer.OPEN), at(0.02))
    settler.observe(young("second.pt", 0.001), at(0.02))
    assert settler.finished(at(0.02)) == []
    settler.observe(young("first.pt"), at(0.03))
    assert names(settler.finished(at(0.03))) == ["first.pt", "second.pt"]


def test_what_was_written_before_it_does_not_wait_for_it(settler: Settler) -> None:
    settler.observe(young("younger.pt", 0.005), at(0.012))
    settler.observe(young("older.pt", 0.001), at(0.014))
    assert names(settler.finished(at(0.014))) == ["older.pt"]


def test_another_root_does_not_wait_for_it(settler: Settler) -> None:
    settler.observe(young("first.pt", 0.000), at(0.009))
    settler.observe(replace(young("second.pt", 0.001), root="/data/other"), at(0.014))
    assert names(settler.finished(at(0.014))) == ["second.pt"]


@pytest.mark.parametrize(
    ("given", "closed"),
    [
        ({"writer": Writer.OPEN}, False),
        ({"proof": Proof.UNKNOWN}, True),
        ({"proof": Proof.BROKEN}, True),
        ({"holes": True}, True),
    ],
)
def test_what_waits_for_more_than_a_moment_holds_nothing_back(settler: Settler, given: dict[str, Any], closed: bool) -> None:
    if closed:
        settler.hint(Change(ROOT, "first.pt", Hinted.CLOSED), at(0.009))
    settler.observe(young("first.pt", **given), at(0.009))
    settler.observe(young("second.pt", 0.001), at(0.014))
    assert names(settler.finished(at(0.014))) == ["second.pt"]
    assert not settler.passing()


def test_a_writer_that_stays_after_a_close_holds_others_back_for_a_moment_only(settler: Settler) -> None:
    settler.hint(Change(ROOT, "first.pt", Hinted.CLOSED), at(0))
    settler.observe(young("second.pt", 0.001), at(0.02))
    now, looks = 0.0, 0
    while not settler.finished(at(now)):
        settler.observe(young("first.pt", writer=Writer.OPEN), at(now))
        due = settler.next_look(at(now))
        assert due is not None
        now, looks = due - 1000, looks + 1
    assert (now, looks) < (0.2, 6)


def test_a_file_written_again_and_again_holds_nothing_back_for_longer_than_the_granularity(settler: Settler) -> None:
    settler.observe(young("busy.pt", 0.000), at(0.009))
    settler.observe(young("second.pt", 0.001), at(0.014))
    assert settler.finished(at(0.014)) == []
    settler.observe(young("busy.pt", 0.014), at(0.015))
    assert names(settler.finished(at(0.015))) == ["second.pt"]


def test_a_look_that_fails_holds_nothing_back(settler: Settler) -> None:
    settler.observe(young("unreadable.pt", 0.000), at(0.009))
    settler.observe(young("second.pt", 0.001), at(0.014))
    assert settler.due(at(0.015)) == [(ROOT, "unreadable.pt")]
    assert names(settler.finished(at(0.015))) == ["second.pt"]
    assert not settler.passing()


def test_one_that_goes_holds_nothing_back(settler: Settler) -> None:
    settler.observe(young("rotated.pt", 0.000), at(0.009))
    settler.observe(young("second.pt", 0.001), at(0.014))
    settler.gone(ROOT, "rotated.pt")
    assert names(settler.finished(at(0.015))) == ["second.pt"]


@given(
    delays=st.lists(st.integers(0, 30), min_size=2, max_size=12),
    gaps=st.lists(st.integers(0, 30), min_size=12, max_size=12),
)
def test_a_burst_is_given_out_in_order_however_slowly_it_is_read(delays: list[int], gaps: list[int]) -> None:
    """Files closed `gaps` ms apart, each read when its turn comes and `delays` ms are over."""
    settler, now = Settler(2.0), 0.0
    written = [sum(gaps[: index + 1]) / 1000 for index in range(len(delays))]
    waiting = {f"step_{index}.pt": index for index in range(len(delays))}
    given_out: list[str] = []
    unread = list(waiting)
    while len(given_out) < len(delays):
        due = [name for _, name in settler.due(at(now))]
        arrived = [name for name in unread if written[waiting[name]] <= now]
        unread = [name for name in unread if name not in arrived]
        for name in sorted({*due, *arrived}):
            settler.observe(young(name, written[waiting[name]]), at(now))
            now += delays[waiting[name]] / 1000
        given_out += names(settler.finished(at(now)))
        now += 0.001
        assert now < 10
    assert given_out == list(waiting)


def test_without_a_step_the_highest_before_it(settler: Settler) -> None:
    settler.observe(look("first.pt", file("first.pt", -9)), at(0))
    settler.observe(look("step=7.pt", file("step=7.pt", -8)), at(0))
    settler.observe(look("step=3.pt", file("step=3.pt", -7)), at(0))
    settler.observe(look("last.pt", file("last.pt", -6)), at(0))
    assert [f.step for f in settler.finished(at(0))] == [0, 7, 3, 7]


def test_a_directory_of_no_known_kind_needs_quiet_as_a_whole(settler: Settler) -> None:
    one, two = file("a.pt", -5), file("b/c.pt", -1)
    settler.observe(look("mine", one, kind=Kind.DIRECTORY), at(0))
    settler.observe(look("mine", one, two, kind=Kind.DIRECTORY), at(1.5))
    settler.observe(look("mine", one, two, kind=Kind.DIRECTORY), at(2.5))
    assert settler.finished(at(2.5)) == []
    settler.observe(look("mine", one, two, kind=Kind.DIRECTORY), at(3.5))
    (finished,) = settler.finished(at(3.5))
    assert [f.path for f in finished.files] == ["a.pt", "b/c.pt"]


def test_a_directory_that_arrived_by_rename_goes_at_once(settler: Settler) -> None:
    for kind in (Kind.DIRECTORY, Kind.ORBAX, Kind.DEEPSPEED):
        settler.hint(Change(ROOT, f"x-{kind}", Hinted.ARRIVED), at(0))
        settler.observe(look(f"x-{kind}", file("a.pt"), file("b", proof=Proof.UNKNOWN), kind=kind), at(0))
        assert names(settler.finished(at(0))) == [f"x-{kind}"]


def test_a_file_renamed_in_a_directory_is_not_the_directory(settler: Settler) -> None:
    settler.hint(Change(ROOT, "mine/a.pt", Hinted.ARRIVED), at(0))
    settler.observe(look("mine", file("a.pt"), kind=Kind.DIRECTORY), at(0))
    assert settler.finished(at(0)) == []


def test_final_needs_quiet(settler: Settler) -> None:
    final = look("final", file("config.json"), file("model.safetensors"), kind=Kind.FINAL)
    settler.observe(final, at(0))
    assert settler.finished(at(0)) == []
    settler.observe(final, at(2))
    assert names(settler.finished(at(2))) == ["final"]


def test_a_missing_shard_is_not_whole(settler: Settler) -> None:
    reading = look("mine", file("model-00001-of-00002.safetensors"), kind=Kind.DIRECTORY)
    settler.observe(reading, at(0))
    settler.observe(reading, at(50))
    assert settler.finished(at(50)) == []
    assert settler.reasons()[ROOT, "mine"] == "model-00002-of-00002.safetensors is missing"
    assert [f.complete for f in settler.finished(at(50), ended=True)] == [False]


def test_dcp_is_finished_by_its_metadata(settler: Settler) -> None:
    shards = (file("__0_0.distcp", -2), file("__1_0.distcp", -1, proof=Proof.UNKNOWN))
    settler.observe(look("step-5", *shards, kind=Kind.DCP), at(0))
    settler.observe(look("step-5", *shards, kind=Kind.DCP), at(30))
    assert settler.finished(at(30)) == []
    settler.observe(look("step-5", *shards, file(".metadata", 30), kind=Kind.DCP), at(30.5))
    assert names(settler.finished(at(30.5))) == ["step-5"]


def test_a_sharded_lightning_checkpoint_ends_with_meta_pt(settler: Settler) -> None:
    parts = (file("__0_0.distcp", -2), file(".metadata", -1))
    settler.observe(look("a.ckpt", *parts, kind=Kind.LIGHTNING), at(0))
    settler.observe(look("a.ckpt", *parts, kind=Kind.LIGHTNING), at(30))
    assert settler.finished(at(30)) == []
    settler.observe(look("a.ckpt", *parts, file("meta.pt", 30), kind=Kind.LIGHTNING), at(30.5))
    assert names(settler.finished(at(30.5))) == ["a.ckpt"]


def test_hints_nobody_asks_for_are_bounded(settler: Settler) -> None:
    for n in range(30_000):
        settler.hint(Change(ROOT, f"{n}", Hinted.CLOSED), at(0))
        settler.hint(Change(ROOT, f"logs/{n}", Hinted.CLOSED), at(0))
        settler.hint(Change(ROOT, f"wandb/{n}", Hinted.CLOSED), at(0))
    hints = settler._hints
    assert len(hints) <= 10_001
    assert sum(len(below) for below in hints.values()) <= 30_000


# Any life of one name, seen in any way, against a model that is as simple as the promise.

PROOFS = st.sampled_from(list(Proof))
WRITERS = st.sampled_from(list(Writer))
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), PROOFS, WRITERS, st.booleans()),
        st.tuples(st.just("look"), PROOFS, WRITERS, st.booleans()),
        st.tuples(st.just("wait"), st.floats(0.001, 5.0)),
        st.tuples(st.just("gone")),
        st.tuples(st.just("hint"), st.sampled_from(list(Hinted))),
    ),
    max_size=40,
)


@given(ACTIONS, st.booleans())
def test_one_name_through_anything(actions: list[tuple[object, ...]], ended: bool) -> None:
    settler, now, size, given_out = Settler(2.0), 0.0, 0, []
    current = last()
    for action in actions:
        if action[0] == "wait":
            now += float(str(action[1]))
        elif action[0] == "gone":
            settler.gone(ROOT, "last.pt")
        elif action[0] == "hint":
            settler.hint(Change(ROOT, "last.pt", Hinted(str(action[1]))), at(now))
        else:
            if action[0] == "write":
                size += 1
                current = last(mtime=now, size=size)
            only = replace(current.files[0], proof=Proof(str(action[1])), writer=Writer(str(action[2])))
            settler.observe(replace(current, files=(only,), trainer_lock=bool(action[3])), at(now))
            for finished in settler.finished(at(now), ended=ended):
                given_out.append(finished.signature)
                assert finished.signature == current.signature
                whole = only.proof is not Proof.BROKEN and only.writer is not Writer.OPEN
                assert finished.complete is whole
                assert ended or (whole and not action[3])
        look_at = settler.next_look(at(now))
        assert look_at is None or look_at > 1000.0
        settler.reasons()
    assert len(given_out) == len(set(given_out))


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 5)), min_size=1, max_size=12), st.integers(1, 12))
def test_a_rotation_never_makes_a_checkpoint(files: list[tuple[str, int]], removed: int) -> None:
    tree = {f"{name}.pt": file(f"{name}.pt", -float(age)) for name, age in files}
    settler = Settler(2.0)
    whole = look("mine", *tree.values(), kind=Kind.DIRECTORY)
    settler.observe(whole, at(0))
    settler.observe(whole, at(2))
    assert names(settler.finished(at(2))) == ["mine"]
    for n, path in enumerate(sorted(tree)[:removed]):
        del tree[path]
        if tree:
            settler.observe(look("mine", *tree.values(), kind=Kind.DIRECTORY), at(3.0 + n))
    assert settler.finished(at(100), ended=True) == []
    assert settler.unfinished() == []
