"""When a spot market had an instance to give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.traces import Machine, Trace, generated, load, paid


def test_a_tick_without_an_instance_ends_the_one_that_ran() -> None:
    first, second, third = Trace("t", 10.0, (0, 1, 2, 0, 4, 0, 0, 1)).machines(1)
    assert [(one.begin, one.end, one.taken) for one in (first, second)] == [(10, 30, True), (40, 50, True)]
    assert third == Machine(70, 80, taken=False, notice=False), "the trace ended, not the machine"


@given(data=st.lists(st.integers(0, 4), min_size=1, max_size=200), seed=st.integers())
def test_every_tick_with_an_instance_is_paid_once(data: list[int], seed: int) -> None:
    found = Trace("t", 5.0, tuple(data)).machines(seed)
    assert paid(found) == 5.0 * sum(1 for count in data if count)
    assert all(one.taken for one in found[:-1])
    assert found == Trace("t", 5.0, tuple(data)).machines(seed)


def test_half_of_them_have_their_notice() -> None:
    found = Trace("t", 5.0, (1, 0) * 2000).machines(1)
    assert 900 < sum(one.notice for one in found) < 1100


def test_a_generated_one_is_the_same_for_the_same_seed() -> None:
    assert generated(3) == generated(3) != generated(4)
    assert len(generated(3, days=1).available) == 1440


def test_a_file(tmp_path: Path) -> None:
    (path := tmp_path / "t.json").write_text(json.dumps({"metadata": {"gap_seconds": 300}, "data": [1, 0]}))
    assert load(path) == Trace("t.json", 300.0, (1, 0))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"metadata": {"gap_seconds": 0}, "data": [1]}', '{"metadata": 1, "data": [1]}']
)
def test_what_is_none(tmp_path: Path, text: str) -> None:
    (path := tmp_path / "t.json").write_text(text)
    with pytest.raises(SystemExit, match="is no spot trace"):
        load(path)
