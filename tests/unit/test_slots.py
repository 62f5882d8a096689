from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.contract.malformed import Malformed
from runctl_agent.slots import SlotWriter, Turn, decode_turn, encode_turn, other

ME = "i-0123456789abcdef0"


def test_alternates_only_after_a_write_that_was_seen() -> None:
    writer = SlotWriter(ME)
    assert writer.next() == Turn(ME, "a", 1, seen=False)
    assert writer.next() == Turn(ME, "a", 2, seen=False)
    writer.seen(2)
    assert writer.next() == Turn(ME, "b", 3, seen=False)
    assert writer.next() == Turn(ME, "b", 4, seen=False)
    writer.seen(4)
    assert writer.next() == Turn(ME, "a", 5, seen=False)


def test_seeing_an_older_generation_changes_nothing() -> None:
    writer = SlotWriter(ME)
    writer.next()
    writer.next()
    writer.seen(1)
    assert writer.next().slot == "a"


def test_a_write_that_is_no_longer_seen_is_done_again_in_its_slot() -> None:
    writer = SlotWriter(ME)
    writer.next()
    writer.seen(1)
    writer.unseen(1)
    assert writer.next() == Turn(ME, "a", 2, seen=False)


def test_a_successor_goes_on_from_the_journal() -> None:
    seen = SlotWriter(ME, Turn(ME, "b", 9, seen=True))
    assert seen.next() == Turn(ME, "a", 10, seen=False)
    unseen = SlotWriter(ME, Turn(ME, "b", 9, seen=False))
    assert unseen.next() == Turn(ME, "b", 10, seen=False)


def test_without_a_journal_the_newest_valid_slot_is_left_alone() -> None:
    cases: list[tuple[dict[str, int | None], str, int]] = [
        ({"a": 4, "b": 5}, "a", 6),
        ({"a": 5, "b": 4}, "b", 6),
        ({"a": None, "b": 4}, "a", 5),
        ({"a": 4, "b": None}, "b", 5),
        ({"a": None, "b": None}, "a", 1),
    ]
    for generations, slot, generation in cases:
        writer = SlotWriter(ME)
        writer.observe(generations)
        assert writer.next() == Turn(ME, slot, generation, seen=False)


def test_the_generation_is_above_the_journal_and_all_that_was_seen() -> None:
    writer = SlotWriter(ME, Turn(ME, "a", 20, seen=True))
    writer.observe({"a": 20, "b": 33})
    assert writer.next().generation == 34


def test_the_journal_of_another_instance_gives_its_generation_alone() -> None:
    writer = SlotWriter(ME, Turn("i-other", "a", 7, seen=True))
    writer.observe({"a": None, "b": 2})
    assert writer.next() == Turn(ME, "a", 8, seen=False)


@given(st.lists(st.sampled_from(["next", "seen", "unseen", "observe"]), max_size=60), st.data())
def test_generations_only_rise_and_slots_change_only_after_seen(steps: list[str], data: st.DataObject) -> None:
    writer = SlotWriter(ME)
    turns = [writer.next()]
    for step in steps:
        if step == "next":
            before = writer.last
            turns.append(writer.next())
            assert before is not None
            assert (turns[-1].slot == other(turns[-2].slot)) == before.seen
        elif step == "observe":
            writer.observe({"a": data.draw(st.none() | st.integers(0, 99)), "b": data.draw(st.none() | st.integers(0, 99))})
        else:
            getattr(writer, step)(data.draw(st.sampled_from(turns)).generation)
    generations = [turn.generation for turn in turns]
    assert generations == sorted(set(generations))


@given(st.builds(Turn, st.text(), st.sampled_from(["a", "b"]), st.integers(0, 2**63), st.booleans()))
def test_a_turn_survives_the_journal(turn: Turn) -> None:
    assert decode_turn(encode_turn(turn)) == turn


@given(st.text())
def test_garbage_in_the_journal_is_malformed(text: str) -> None:
    assert isinstance(decode_turn(text), Malformed)


def test_near_misses_are_malformed() -> None:
    good = encode_turn(Turn(ME, "a", 1, seen=True))
    for bad in [
        good.replace('"a"', '"c"'),
        good.replace(":1,", ":true,"),
        good.replace(":1,", ":-1,"),
        good.replace(":1,", ":1.5,"),
        good.replace("true", '"true"'),
        "[" * 100_000,
        "9" * 10_000,
    ]:
        assert isinstance(decode_turn(bad), Malformed)
