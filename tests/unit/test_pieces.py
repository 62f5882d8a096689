"""A log in growing pieces: put together they are the log, whatever fails on the way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.contract import pieces
from runctl_agent.contract.pieces import Pieces, put_together


@given(st.lists(st.tuples(st.binary(max_size=40), st.booleans()), max_size=30), st.integers(1, 50))
def test_what_was_added_is_what_is_put_together(adding: list[tuple[bytes, bool]], size: int) -> None:
    """The second of each pair: whether the put got through; one that did not is put again, longer."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pieces, "PIECE", size)
        writer, there, whole = Pieces(), dict[int, bytes](), b""
        for given_text, answers in [*adding, (b"", True)]:
            text = given_text[: writer.room]
            writer.add(text)
            whole += text
            if (due := writer.due()) is not None:
                assert len(due[1]) <= size, "it grows no more than so far"
                if answers:
                    there[due[0]] = due[1]
                    writer.sent()
        if (due := writer.due()) is not None:
            there[due[0]] = due[1]
            writer.sent()
        assert put_together(there.items()) == whole
        assert writer.end == len(whole)


def test_an_agent_that_comes_back_begins_a_piece_of_its_own() -> None:
    first = Pieces()
    first.add(b"abc")
    assert first.due() == (0, b"abc")
    first.sent()
    assert first.due() is None
    second = Pieces(first.end)
    second.add(b"def")
    assert second.due() == (3, b"def")


def test_more_than_the_room_is_a_bug() -> None:
    with pytest.raises(ValueError, match="room"):
        Pieces().add(bytes(pieces.PIECE + 1))


@given(st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=50)), max_size=10))
def test_any_pieces_can_be_put_together(found: list[tuple[int, bytes]]) -> None:
    put_together(found)
