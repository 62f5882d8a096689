"""The tags: self-proving slots, and what a reader makes of torn, stale, missing and swapped ones."""

from __future__ import annotations

import base64
import gzip
import json
import random
import re
import string
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runctl_agent.contract import tags
from runctl_agent.contract.document import LARGEST, LAST_SECOND
from runctl_agent.contract.malformed import Malformed
from runctl_agent.contract.phases import Condition, ConditionName, Phase
from runctl_agent.contract.status import VITALS, State
from runctl_agent.contract.tags import AGENT_KEYS, CONTROLLER_KEYS, SLACK, SLOT_KEYS, all_keys, decode_slot, encode, read
from tests.fakes.sized_state import FULL, ONE, ONE_AND_A_BIT, SIX, sized

from .strategies import RELAXED, json_values, states, times
from .test_status import EXAMPLE

GOLDEN = Path(__file__).parent / "golden" / "tags.json"
NOW = 1_795_457_375
slots = st.sampled_from(["a", "b"])


def posted(found: dict[str, str]) -> tags.Posted:
    return read(found, instance=None, launch_time=None)


def without_vitals(state: State) -> State:
    nothing: dict[str, Any] = dict.fromkeys(VITALS)
    return replace(state, **nothing)


def bare(state: State) -> State:
    """What no shortening touches."""
    state = without_vitals(state)
    return replace(state, details=(), sending=None, error="", conditions=tuple(replace(c, message="") for c in state.conditions))


# --- limits ---


def test_the_project_needs_at_most_28_tags_with_keys_that_imds_can_serve() -> None:
    assert len(all_keys()) == len(set(all_keys())) == 26
    for key in all_keys():
        assert re.fullmatch(r"[a-zA-Z0-9+\-=.,_:@]{1,127}", key)
    assert set(CONTROLLER_KEYS).isdisjoint(AGENT_KEYS)


def test_the_keys_are_those_of_the_design() -> None:
    plain = ["phase", "summary", "checkpoint", "step", "exit", "heartbeat", "state"]
    chunks = [f"{slot}.{chunk}" for slot in "ab" for chunk in range(6)]
    assert set(AGENT_KEYS) == {f"runctl:{name}" for name in plain + chunks}
    launch = ["run", "project", "owner", "destination", "version", "want"]
    assert set(CONTROLLER_KEYS) == {"Name"} | {f"runctl:{name}" for name in launch}


LONG = replace(
    EXAMPLE,
    error="".join(chr(0x4E00 + n * 7919 % 20_000) for n in range(30_000)),
    details=tuple(f"{n * 7919 % 10_007:x} happened" for n in range(5000)),
    conditions=tuple(Condition(name, NOW, "".join(chr(33 + n * n * 31 % 90) for n in range(900))) for name in ConditionName),
)


@RELAXED
@given(states, slots, times)
@example(LONG, "a", NOW)
def test_any_state_fits_one_call(state: State, slot: str, now: int) -> None:
    found = encode(state, slot, now)
    assert set(found) == set(tags.PLAIN_KEYS) | set(SLOT_KEYS[slot])
    for value in found.values():
        assert len(value) <= 256
        assert value == "" or (value.isascii() and value.isprintable())


@RELAXED
@given(states, slots, times)
@example(LONG, "b", NOW)
def test_any_state_comes_back_whole_but_for_its_longest_texts(state: State, slot: str, now: int) -> None:
    back = decode_slot(encode(state, slot, now), slot)
    assert isinstance(back, State)
    assert bare(back) == bare(state)
    assert back.details == state.details[: len(back.details)]
    if back.sending != state.sending or back.error != state.error:
        assert (back.sending, back.details) == (None, ())
    if any(getattr(back, name) != getattr(state, name) for name in VITALS):
        assert (back, back.details) == (without_vitals(back), ())


def test_what_is_too_large_loses_its_oldest_details_first() -> None:
    state = replace(EXAMPLE, details=LONG.details)
    back = decode_slot(encode(state, "a", NOW), "a")
    assert isinstance(back, State)
    assert 0 < len(back.details) < len(state.details)
    assert back == replace(state, details=state.details[: len(back.details)])


def _name(seed: int) -> str:
    """As long as a file's name can be, of what compresses badly and is written as escapes."""
    rng = random.Random(seed)
    return bytes(rng.randrange(0x80, 0x100) for _ in range(255)).decode("utf-8", "surrogateescape")


def test_the_largest_numbers_and_names_fit_beside_each_other() -> None:
    numbers = ("step", "commits", "pending_checkpoints", "pending_bytes", "rate", "eta", "sending_bytes", "sent_bytes")
    most: dict[str, Any] = dict.fromkeys((*numbers, "generation", "failures", "owed_aborts", "trainer_pid"), LARGEST)
    most |= dict.fromkeys(("boot_time", "committed_at", "pending_since", "retry_at"), LAST_SECOND)
    state = replace(EXAMPLE, **most, checkpoint=_name(1), sending="last.pt", details=())
    assert decode_slot(encode(state, "a", NOW), "a") == state


def test_the_name_of_what_is_being_sent_goes_before_any_message() -> None:
    message = "".join(random.Random(3).choices(string.ascii_letters, k=240))
    state = replace(EXAMPLE, checkpoint=_name(1), sending=_name(2), error=message)
    back = decode_slot(encode(state, "a", NOW), "a")
    assert back == without_vitals(replace(state, sending=None, details=()))


def test_a_text_that_was_cut_says_so() -> None:
    back = decode_slot(encode(replace(EXAMPLE, error=LONG.error), "a", NOW), "a")
    assert isinstance(back, State)
    assert back.error.endswith("...")
    assert back.error.startswith(LONG.error[:20])


def test_a_name_that_alone_is_too_long_is_left_out_and_said() -> None:
    state = replace(EXAMPLE, checkpoint="".join(chr(0x4E00 + n * n * 7919 % 20_000) for n in range(3000)))
    back = decode_slot(encode(state, "a", NOW), "a")
    assert isinstance(back, State)
    assert back.checkpoint is None
    assert "too long" in back.error
    assert back.step == state.step


# --- the format ---


def test_the_document_is_json_in_gzip_in_base64url() -> None:
    found = encode(EXAMPLE, "a", NOW)
    whole = "".join(found[key] for key in SLOT_KEYS["a"])
    plain = json.loads(gzip.decompress(base64.urlsafe_b64decode(whole + "=" * (-len(whole) % 4))))
    assert (plain["slot"], plain["generation"]) == ("a", 17)
    assert (plain["instance"], plain["boot_time"]) == (EXAMPLE.instance, EXAMPLE.boot_time)
    assert found["runctl:state"] == f"a:17:{sum(1 for key in SLOT_KEYS['a'] if found[key])}"
    assert found["runctl:heartbeat"] == "2026-11-23T18:09:35Z"
    assert (found["runctl:phase"], found["runctl:checkpoint"], found["runctl:step"]) == ("training", "checkpoint-4500", "4500")
    assert found["runctl:exit"] == ""


def test_golden() -> None:
    """The compressed bytes may differ from one zlib to another, so they must decode, and the rest is equal."""
    found = json.loads(GOLDEN.read_text())
    assert posted(found) == tags.Posted(EXAMPLE, {key: found[key] for key in tags.PLAIN_KEYS}, False, "")
    assert {key: found[key] for key in tags.PLAIN_KEYS} == {key: encode(EXAMPLE, "a", NOW)[key] for key in tags.PLAIN_KEYS}


def test_a_name_that_is_not_ascii_is_shown_percent_encoded() -> None:
    shown = encode(replace(EXAMPLE, checkpoint="a 1%ä\udcff.pt"), "a", NOW)["runctl:checkpoint"]
    assert shown == "a 1%25%C3%A4%FF.pt"


# --- a single tag that is not what it should be ---


@st.composite
def histories(draw: st.DrawFn) -> list[dict[str, str]]:
    """What the tags were after each of a few writes, which alternate between the slots."""
    count = draw(st.integers(1, 5))
    first = draw(slots)
    found: dict[str, str] = {}
    history: list[dict[str, str]] = []
    for n in range(count):
        state = replace(draw(states), generation=n + 1, instance=EXAMPLE.instance, boot_time=EXAMPLE.boot_time)
        slot = first if n % 2 == 0 else "ab".replace(first, "")
        found = found | encode(state, slot, NOW)
        history.append(found)
    return history


@RELAXED
@given(histories(), st.data())
def test_one_wrong_tag_is_harmless_or_detected_and_never_read_as_a_wrong_state(
    history: list[dict[str, str]], data: st.DataObject
) -> None:
    current = history[-1]
    written = [posted(found).state for found in history]
    key = data.draw(st.sampled_from(sorted(current)))
    other = data.draw(st.sampled_from(sorted(current)))
    stale = data.draw(st.sampled_from(history)).get(key, "")
    damage = {
        "changed": current | {key: data.draw(st.text(max_size=256))},
        "one character": current | {key: data.draw(st.sampled_from(_near(current[key])))},
        "emptied": current | {key: ""},
        "missing": {name: value for name, value in current.items() if name != key},
        "stale": current | {key: stale},
        "another's": current | {key: current[other]},
        "swapped": current | {key: current[other], other: current[key]},
    }
    for damaged in damage.values():
        found = posted(damaged)
        if found.state is None:
            assert found.reason
        elif found.state != written[-1]:
            assert found.state in written
            assert found.reason, "an older state is read only with the reason"


def _near(value: str) -> list[str]:
    flipped = [value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1 :] for at in range(0, len(value), 17)]
    return [value + "A", value[:-1], value + "=", value + "\n", " " + value, *flipped]


@RELAXED
@given(histories(), st.data())
def test_a_torn_write_shows_the_new_state_or_the_one_before(history: list[dict[str, str]], data: st.DataObject) -> None:
    new = history[-1]
    old = history[-2] if len(history) > 1 else {}
    arrived = {key: value for key, value in new.items() if old.get(key) != value and data.draw(st.booleans())}
    found = posted(old | arrived)
    assert found.state in (posted(new).state, posted(old).state)


def test_a_stale_chunk_after_the_end_does_no_harm() -> None:
    found = encode(EXAMPLE, "a", NOW)
    assert found["runctl:a.5"] == ""
    assert posted(found | {"runctl:a.5": "A" * 256}) == posted(found)


def test_a_slot_copied_over_the_other_is_not_read_there() -> None:
    found = encode(EXAMPLE, "a", NOW)
    copied = {f"runctl:b.{n}": found[f"runctl:a.{n}"] for n in range(6)}
    assert decode_slot(copied, "b") == Malformed("slot: the document is that of slot a")


@pytest.mark.parametrize("missing", range(1, 12))
def test_a_container_without_its_whole_trailer_proves_nothing(missing: int) -> None:
    found = encode(EXAMPLE, "a", NOW)
    whole = "".join(found[key] for key in SLOT_KEYS["a"])[:-missing]
    cut = {key: whole[n * 256 : n * 256 + 256] for n, key in enumerate(SLOT_KEYS["a"])}
    assert isinstance(decode_slot(cut, "a"), Malformed)


def two_writes() -> dict[str, str]:
    return encode(EXAMPLE, "a", NOW) | encode(replace(EXAMPLE, generation=18, step=5000), "b", NOW)


def test_a_damaged_newest_slot_falls_back_and_says_so() -> None:
    found = posted(two_writes() | {"runctl:b.0": "x"})
    assert found.state == EXAMPLE
    assert "slot b does not prove itself" in found.reason
    assert "runctl:state announces generation 18 in slot b, this is 17" in found.reason


def test_a_vanished_newest_slot_is_announced_by_the_hint() -> None:
    found = posted({key: value for key, value in two_writes().items() if not key.startswith("runctl:b.")})
    assert found.state == EXAMPLE
    assert found.reason == "runctl:state announces generation 18 in slot b, this is 17"


def test_a_stale_or_damaged_hint_does_no_harm() -> None:
    for hint in ("a:17:2", "", "c:1:1", "b:99999999999999999999:1"):
        found = posted(two_writes() | {"runctl:state": hint})
        assert (found.state, found.reason) == (replace(EXAMPLE, generation=18, step=5000), "")


def test_without_a_slot_the_plain_tags_stand_alone_and_decide_nothing() -> None:
    found = posted({"runctl:phase": "finished", "runctl:exit": "0", "Name": "x"})
    assert found.state is None
    assert found.plain == {"runctl:phase": "finished", "runctl:exit": "0"}
    assert found.reason == "no slot proves itself; slot a: the slot is empty; slot b: the slot is empty"


# --- another life ---


def test_a_document_of_another_instance_is_another_life() -> None:
    found = read(encode(EXAMPLE, "a", NOW), instance="i-0fedcba9876543210", launch_time=None)
    assert found.another_life
    assert found.state == EXAMPLE


def test_stop_and_start_within_the_slack_is_told_by_what_was_posted_before_the_launch() -> None:
    """Every stop and start within SLACK seconds: the life before always ends before the launch, this one posts after it."""
    for ran in range(1, SLACK + 1, 7):
        for rested in range(0, SLACK, 7):
            launched = EXAMPLE.boot_time + ran + rested
            before = replace(EXAMPLE, phase=Phase.STOPPED, heartbeat=EXAMPLE.boot_time + ran)
            after = replace(EXAMPLE, boot_time=launched, heartbeat=launched + 1)
            old = read(encode(before, "a", NOW), instance=EXAMPLE.instance, launch_time=launched)
            new = read(encode(after, "a", NOW), instance=EXAMPLE.instance, launch_time=launched)
            assert (old.another_life, new.another_life) == (True, False)


@pytest.mark.parametrize(("after", "another"), [(-1000, False), (0, False), (60, False), (61, True)])
def test_a_boot_well_before_the_launch_is_another_life(after: int, another: bool) -> None:
    found = read(encode(EXAMPLE, "a", NOW), instance=EXAMPLE.instance, launch_time=EXAMPLE.boot_time + after)
    assert found.another_life is another


def test_this_life_goes_before_a_higher_generation_of_another() -> None:
    other = replace(EXAMPLE, instance="i-0fedcba9876543210", generation=900, phase=Phase.FINISHED)
    found = read(encode(other, "b", NOW) | encode(EXAMPLE, "a", NOW), instance=EXAMPLE.instance, launch_time=None)
    assert (found.state, found.another_life) == (EXAMPLE, False)
    assert "slot b has generation 900" in found.reason


# --- anything at all ---


@RELAXED
@given(st.dictionaries(st.sampled_from(all_keys()) | st.text(max_size=10), st.text(max_size=300) | json_values, max_size=26))
def test_any_tags_give_an_answer(found: dict[str, object]) -> None:
    answer = read(found, instance="i-0", launch_time=0)
    assert answer.state is None
    assert answer.reason
    tags.decode_hint(found.get("runctl:state"))


def test_a_bomb_is_not_inflated_and_deep_nesting_is_malformed() -> None:
    for body in (b"[" * 500_000, b'{"a":' * 100_000, b"0" * 600_000):
        whole = base64.urlsafe_b64encode(gzip.compress(body, mtime=0)).decode().rstrip("=")
        chunks = {f"runctl:a.{n}": whole[n * 256 : n * 256 + 256] for n in range(6)}
        assert isinstance(decode_slot(chunks, "a"), Malformed)


# --- sizes ---


@pytest.mark.parametrize(("characters", "chunks"), [(ONE, 1), (FULL, 1), (ONE_AND_A_BIT, 2), (SIX, 6)])
def test_one_chunk_exactly_one_a_bit_more_and_six(characters: int, chunks: int) -> None:
    bare = State("gpt2", Phase.TRAINING, EXAMPLE.instance, EXAMPLE.boot_time, 17, NOW, "0.1.0")
    state = sized(bare, characters)
    found = encode(state, "b", NOW)
    assert [bool(found[key]) for key in SLOT_KEYS["b"]] == [True] * chunks + [False] * (6 - chunks)
    assert len("".join(found[key] for key in SLOT_KEYS["b"])) == characters
    assert posted(found).state == state
