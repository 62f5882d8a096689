"""Plain JSON, read without trust."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.contract.document import Wrong, between, boolean, instant, number, parse, show, text, total
from runctl_agent.contract.malformed import Malformed

from .strategies import RELAXED, json_values


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"a": NaN}', "NaN is not a number of JSON"),
        (b'{"a": -Infinity}', "-Infinity is not a number of JSON"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "the name 'c' stands twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b"1" * 5000, "not JSON"),
        (b'{"a": 1}{', "not JSON"),
    ],
)
def test_what_is_no_json_is_malformed_with_the_reason(body: bytes, reason: str) -> None:
    found = total(parse, body)
    assert isinstance(found, Malformed)
    assert reason in found.reason


@RELAXED
@given(st.binary())
def test_any_bytes_give_a_value_or_malformed(body: bytes) -> None:
    total(parse, body)


def test_true_is_no_number_and_one_is_no_truth() -> None:
    for read, value in ((between(0, 9), True), (number, False), (boolean, 1), (text, b"x"), (between(0, 9), 1.0)):
        with pytest.raises(Wrong):
            read(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, -1, "1"])
def test_an_instant_is_a_time_that_people_can_write(value: object) -> None:
    with pytest.raises(Wrong):
        instant(value)


@RELAXED
@given(json_values | st.integers(10**4000, 10**5000) | st.binary())
def test_any_value_can_be_shown_shortly(value: object) -> None:
    assert len(show(value)) <= 60
    assert show(value).isascii()


@pytest.mark.timeout(60)
def test_a_name_that_stands_twice_among_many_is_found() -> None:
    """By one pass: to compare each with each would take an hour."""
    names = b",".join(b'"%x":0' % number for number in range(1_000_000))
    found = total(parse, b"{" + names + b',"0":1}')
    assert found == Malformed("the name '0' stands twice")
    found = total(parse, b"{" + names + b',"f423f":1}')
    assert found == Malformed("the name 'f423f' stands twice")
