"""Parts cover a file exactly, within S3's limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.errors import StoreRefused
from runctl_agent.store.plan import GIB, LARGEST_OBJECT, LARGEST_PART, MIB, MOST_PARTS, SMALLEST_PART, Span, cut, part_size, parts

TIB = 1024 * GIB

sizes = st.one_of(
    st.integers(0, 64 * MIB),
    st.integers(0, LARGEST_OBJECT),
    st.builds(lambda n, d: max(0, n * SMALLEST_PART + d), st.integers(0, 30_000), st.integers(-1, 1)),
)


@given(st.integers(0, 10_000), st.integers(1, 500))
def test_spans_follow_each_other_from_the_first_byte_to_the_last(size: int, length: int) -> None:
    spans = cut(size, length)
    end = 0
    for number, span in enumerate(spans, 1):
        assert span.number == number
        assert span.offset == end
        assert 0 < span.length <= length or size == 0
        end += span.length
    assert end == size
    assert all(span.length == length for span in spans[:-1])


@given(sizes)
def test_the_limits_of_s3_hold(size: int) -> None:
    length = part_size(size)
    assert SMALLEST_PART <= length <= LARGEST_PART
    assert -(-size // length) <= MOST_PARTS
    assert length % MIB == 0


@given(sizes)
def test_parts_are_no_larger_than_they_must_be(size: int) -> None:
    length = part_size(size)
    assert length == SMALLEST_PART or -(-size // (length - MIB)) > MOST_PARTS


@pytest.mark.parametrize("size", [0, 1, SMALLEST_PART])
def test_a_file_of_one_part(size: int) -> None:
    assert parts(size) == [Span(1, 0, size)]


def test_one_byte_more_is_two_parts() -> None:
    assert parts(SMALLEST_PART + 1) == [Span(1, 0, SMALLEST_PART), Span(2, SMALLEST_PART, 1)]


@pytest.mark.parametrize(
    ("size", "count", "length"),
    [
        (1, 1, SMALLEST_PART),
        (5 * GIB, 640, SMALLEST_PART),
        (5 * GIB + 1, 641, SMALLEST_PART),
        (MOST_PARTS * SMALLEST_PART, MOST_PARTS, SMALLEST_PART),
        (MOST_PARTS * SMALLEST_PART + 1, 8889, SMALLEST_PART + MIB),
        (TIB, 9987, 105 * MIB),
        (5 * TIB, 9987, 525 * MIB),
        (LARGEST_OBJECT - 1, MOST_PARTS, LARGEST_PART),
        (LARGEST_OBJECT, MOST_PARTS, LARGEST_PART),
    ],
)
def test_from_a_byte_to_the_largest_object(size: int, count: int, length: int) -> None:
    spans = parts(size)
    assert (len(spans), part_size(size)) == (count, length)
    assert sum(span.length for span in spans) == size
    assert [span.number for span in spans] == list(range(1, count + 1))


@given(sizes, sizes)
def test_a_larger_file_never_has_smaller_parts(one: int, other: int) -> None:
    assert part_size(min(one, other)) <= part_size(max(one, other))


def test_the_largest_object_has_ten_thousand_parts_of_five_gibibytes() -> None:
    spans = parts(LARGEST_OBJECT)
    assert (len(spans), spans[-1].length) == (MOST_PARTS, LARGEST_PART)


def test_what_is_larger_than_an_object_can_be_is_refused_with_the_mend() -> None:
    with pytest.raises(StoreRefused) as refused:
        parts(LARGEST_OBJECT + 1)
    assert "48.8 TiB" in refused.value.why
    assert refused.value.mend == "write the checkpoint in shards"
