"""Plain JSON, read without trust."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.contract.document import (
    Fields,
    Wrong,
    array,
    between,
    boolean,
    count,
    encode,
    instant,
    number,
    optional,
    parse,
    ratio,
    show,
    text,
    total,
)
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
        (b'{"a": 1, "b": 1, "b": 2}', "the name 'b' stands twice"),
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


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "nothing"),
        (True, "true"),
        (False, "false"),
        (2**128 - 1, str(2**128 - 1)),
        (2**128, "a huge number"),
        (2**4000, "a huge number"),
        (1.5, "1.5"),
        ("ä", "'\\xe4'"),
        ("a" * 58, repr("a" * 58)),
        ("a" * 59, "'" + "a" * 56 + "..."),
        ({}, "a mapping"),
        ([], "a list"),
        ((), "a list"),
        (b"", "a bytes"),
    ],
)
def test_a_value_is_shown_as_people_read_it(value: object, shown: str) -> None:
    assert show(value) == shown


def test_a_count_is_what_a_journal_can_hold() -> None:
    assert (count(0), count(2**63 - 1)) == (0, 2**63 - 1)
    with pytest.raises(Wrong, match="from 0 on, not -1"):
        count(-1)
    with pytest.raises(Wrong, match="from 0 on"):
        count(2**63)
    with pytest.raises(Wrong, match="from 1 to 9, not 10"):
        between(1, 9)(10)


def test_numbers_have_their_range() -> None:
    assert (number(-(2**63 - 1)), number(2**63 - 1)) == (-float(2**63), float(2**63))
    assert (instant(0), instant(253_402_300_799)) == (0.0, 253_402_300_799.0)
    assert (ratio(0), ratio(1.5), ratio(2**62)) == (0.0, 1.5, float(2**62))
    for read, value in ((number, 2**64), (number, -(2**64)), (instant, -0.1), (instant, 253_402_300_800), (ratio, -0.1)):
        with pytest.raises(Wrong):
            read(value)


def test_what_is_wrong_is_named_with_its_way_from_the_top() -> None:
    def inner(value: object) -> int:
        return Fields(value).need("b", count)

    def outer(value: object) -> tuple[int, ...]:
        return Fields(value).need("a", array(inner))

    assert outer({"a": [{"b": 1}, {"b": 2}]}) == (1, 2)
    for given_, said in (
        ({}, "a: missing"),
        ({"a": 1}, "a: expected a list, not 1"),
        ({"a": [{"b": 1}, {}]}, "a[1].b: missing"),
        ({"a": [{"b": -1}]}, "a[0].b: expected a whole number from 0 on, not -1"),
        ({"a": [1]}, "a[0]: expected an object, not 1"),
        (None, "expected an object, not nothing"),
    ):
        found = total(outer, given_)
        assert isinstance(found, Malformed)
        assert found.reason == said
    with pytest.raises(Wrong) as caught:
        outer({})
    assert caught.value.args == ("missing", "a")


def test_what_is_not_there_has_its_default_and_what_is_there_is_read() -> None:
    fields = Fields({"a": 1, "b": None})
    assert (fields.get("a", count, 7), fields.get("c", count, 7)) == (1, 7)
    assert fields.need("b", optional(count)) is None
    assert fields.get("a", optional(count), None) == 1
    assert list(fields) == ["a", "b"]
    with pytest.raises(Wrong, match="a whole number, not nothing"):
        fields.get("b", count, 7)


def test_a_document_of_a_later_version_is_refused() -> None:
    for plain in ({}, {"version": 1}, {"version": 2}):
        Fields(plain).version(2)
    Fields({}).version(1)
    for later in ({"version": 3}, {"version": 0}):
        with pytest.raises(Wrong, match="version"):
            Fields(later).version(2)
    with pytest.raises(Wrong, match="from 1 on"):
        Fields({"version": 0}).version(2)


def test_no_number_is_written_that_json_does_not_have() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode({"a": float("nan")}, lambda fields: None)
    assert encode({"b": 1, "a": "\udcff"}, lambda fields: None) == b'{"a":"\\udcff","b":1}'
