"""The state document: `status.json`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.contract.malformed import Malformed
from runctl_agent.contract.phases import Condition, ConditionName, Phase
from runctl_agent.contract.status import State, decode_state, encode_state
from runctl_agent.contract.summary import age, progress, size, summary

from .strategies import RELAXED, broken_json, json_values, states, times

GOLDEN = Path(__file__).parent / "golden" / "status.json"
EXAMPLE = State(
    run="gpt2-20261123-7f3a",
    phase=Phase.TRAINING,
    instance="i-0123456789abcdef0",
    boot_time=1_795_456_000,
    generation=17,
    heartbeat=1_795_457_375,
    agent_version="0.1.0",
    epoch=2,
    attempt=1,
    conditions=(Condition(ConditionName.SYNC_STUCK, 1_795_457_000, "nothing sent for 5 min: 503 SlowDown"),),
    checkpoint="checkpoint-4500",
    step=4500,
    committed_at=1_795_457_363,
    commits=9,
    pending_checkpoints=1,
    pending_bytes=1_572_864,
    pending_since=1_795_457_060,
    rate=52_428_800,
    eta=1,
    sending="last.pt",
    sending_bytes=2_097_152,
    sent_bytes=524_288,
    failures=3,
    retry_at=1_795_457_390,
    owed_aborts=2,
    exit_code=None,
    error="PutObject data/000002-00000010/last.pt: 503 SlowDown",
    want="5f" * 16,
    trainer_pid=4242,
    notice="spot terminate",
    notice_at=1_795_457_480,
    ran=86_400,
    train_step=4620,
    train_steps=10_000,
    train_epoch=1.5,
    loss=2.718,
    cpu=190,
    rss=8_589_934_592,
    disk_free=107_374_182_400,
    gpu=97,
    gpu_memory=68_719_476_736,
    gpu_heat=71,
    sent_total=9_663_676_416,
    details=("committed checkpoint-4500", "committed checkpoint-4000"),
)


@RELAXED
@given(states)
def test_a_state_comes_back(state: State) -> None:
    assert decode_state(encode_state(state)) == state


def test_golden() -> None:
    body = GOLDEN.read_bytes()
    assert decode_state(body) == EXAMPLE
    assert encode_state(EXAMPLE) == body


def test_a_state_without_the_progress_is_read_too() -> None:
    """As an agent of before writes it."""
    plain = json.loads(GOLDEN.read_bytes())
    for name in ("eta", "sending", "sending_bytes", "sent_bytes", "failures", "retry_at", "owed_aborts", "train_steps"):
        del plain[name]
    found = decode_state(json.dumps(plain).encode())
    assert isinstance(found, State)
    assert (found.eta, found.sending, found.sending_bytes, found.sent_bytes) == (None, None, 0, 0)
    assert (found.failures, found.retry_at, found.owed_aborts, found.train_steps) == (0, None, 0, None)
    assert (found.pending_bytes, found.rate) == (EXAMPLE.pending_bytes, EXAMPLE.rate)


@RELAXED
@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_garbage_is_malformed(body: bytes) -> None:
    assert isinstance(decode_state(body), Malformed)


@RELAXED
@given(broken_json(encode_state(EXAMPLE)))
def test_one_wrong_value_gives_a_state_or_malformed(body: bytes) -> None:
    found = decode_state(body)
    if isinstance(found, State):
        assert decode_state(encode_state(found)) == found


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 2},
        {"phase": "idle"},
        {"exit_code": 256},
        {"exit_code": True},
        {"heartbeat": -1},
        {"conditions": [{"name": "Bored", "since": 1, "message": ""}]},
        {"conditions": [{"name": "Idle", "since": 1, "message": ""}] * 2},
    ],
)
def test_what_no_agent_writes_is_malformed(wrong: dict[str, object]) -> None:
    assert isinstance(decode_state(json.dumps(json.loads(encode_state(EXAMPLE)) | wrong).encode()), Malformed)


def test_a_state_that_could_not_be_read_back_is_not_written() -> None:
    with pytest.raises(ValueError, match="exit_code"):
        encode_state(State("r", Phase.FAILED, "", 0, 1, 0, "0.1.0", exit_code=-9))


def test_the_summary_says_how_safe_the_work_is() -> None:
    assert summary(EXAMPLE, 1_795_457_375) == "step 4500 safe 12 s ago, 1.5 MiB behind, SyncStuck"
    bare = State("r", Phase.FAILED, "", 0, 1, 0, "0.1.0", exit_code=1)
    assert summary(bare, 5) == "nothing safe yet, 0 B behind, exit 1"


@RELAXED
@given(states, times)
def test_a_summary_is_one_short_line_of_ascii(state: State, now: int) -> None:
    line = summary(state, now)
    assert 0 < len(line) <= 256
    assert line.isascii()
    assert line.isprintable()


def test_the_progress_in_words() -> None:
    assert progress(EXAMPLE, 1_795_457_375) == (
        "sending last.pt: 512.0 KiB of 2.0 MiB sent",
        "behind for 5 min, at 50.0 MiB/s done in 1 s",
        "failed 3 times in a row, tried again in 15 s",
        "multipart uploads still to be aborted: 2",
    )
    stuck = replace(EXAMPLE, sending=None, eta=None, rate=0, failures=1, retry_at=None, owed_aborts=0)
    assert progress(stuck, 1_795_457_375) == ("behind for 5 min", "failed once")
    assert progress(replace(stuck, pending_since=None, failures=0), 1_795_457_375) == ()


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (200_000, "2 d")])
def test_an_age_is_in_the_largest_unit_of_which_there_are_two(seconds: int, shown: str) -> None:
    assert age(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_572_864, "1.5 MiB"), (2**40, "1.0 TiB"), (2**63 - 1, "8192.0 PiB")],
)
def test_a_size_is_in_binary_units(count: int, shown: str) -> None:
    assert size(count) == shown
