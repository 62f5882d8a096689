"""CRCs combine as zlib computes them over the whole."""

from __future__ import annotations

import zlib

from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.store.crc import combine, combine_all


@given(st.lists(st.binary(max_size=300)))
def test_the_parts_give_the_whole(parts: list[bytes]) -> None:
    assert combine_all((zlib.crc32(part), len(part)) for part in parts) == zlib.crc32(b"".join(parts))


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**46), st.integers(0, 2**46))
def test_it_does_not_matter_which_two_are_put_together_first(a: int, b: int, length: int, more: int) -> None:
    last = zlib.crc32(b"last")
    assert combine(combine(a, b, length), last, more) == combine(a, combine(b, last, more), length + more)


def test_eight_gibibytes_of_zeros() -> None:
    mebibyte = zlib.crc32(bytes(2**20))
    whole, length = mebibyte, 2**20
    for _ in range(13):
        whole, length = combine(whole, whole, length), 2 * length
    assert length == 2**33
    assert whole == combine_all([(mebibyte, 2**20)] * 2**13)
