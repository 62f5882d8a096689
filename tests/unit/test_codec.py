"""Frames: what goes in comes out, `zstd -d` agrees, and no frame makes more than it should."""

from __future__ import annotations

import io
import sys

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.errors import BadChecksum, WrongStateError
from runctl_agent.store import codec


def decode(stored: bytes, size: int, piece: int = 1000) -> bytes:
    pieces = list(codec.decoded(io.BytesIO(stored), size, piece))
    assert all(0 < len(one) <= piece for one in pieces)
    return b"".join(pieces)


@given(st.binary(max_size=4096), st.integers(-5, 5000))
def test_what_goes_in_comes_out_with_or_without_filling(content: bytes, lacking: int) -> None:
    stored = codec.encode(content) + codec.filling(lacking)
    assert decode(stored, len(content)) == content
    assert decode(stored, len(content), 1) == content


@given(st.lists(st.tuples(st.binary(max_size=2000), st.integers(0, 3000)), max_size=5))
def test_frames_in_a_row_are_one_ordinary_file(parts: list[tuple[bytes, int]]) -> None:
    whole = b"".join(codec.encode(content) + codec.filling(lacking) for content, lacking in parts)
    reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(whole), read_across_frames=True)
    assert reader.read() == b"".join(content for content, _ in parts)


@given(st.binary(min_size=1, max_size=200), st.integers(0, 300))
def test_garbage_is_refused(stored: bytes, size: int) -> None:
    try:
        found = decode(stored, size)
    except BadChecksum:
        return
    assert found == b"", "a few bytes may be the beginning of a frame"


@given(st.binary(min_size=1, max_size=500), st.data())
def test_a_changed_byte_is_noticed(content: bytes, data: st.DataObject) -> None:
    stored = bytearray(codec.encode(content))
    at = data.draw(st.integers(0, len(stored) - 1))
    stored[at] ^= data.draw(st.integers(1, 255))
    try:
        found = decode(bytes(stored), len(content))
    except BadChecksum:
        return
    assert found in (content, b""), "only bits that mean nothing may differ; a skippable frame holds nothing"


@given(st.binary(min_size=1, max_size=500), st.data())
def test_a_frame_cut_short_gives_too_little(content: bytes, data: st.DataObject) -> None:
    stored = codec.encode(content)
    found = decode(stored[: data.draw(st.integers(0, len(stored) - 1))], len(content))
    assert content.startswith(found)


def test_a_frame_that_would_fill_the_memory_is_refused() -> None:
    bomb = codec.encode(bytes(64 * 1024 * 1024))
    assert len(bomb) < 64 * 1024
    made: list[int] = []
    with pytest.raises(BadChecksum, match="more than 1024"):
        made.extend(len(piece) for piece in codec.decoded(io.BytesIO(bomb), 1024, 512))
    assert sum(made) <= 1024


def test_a_frame_that_would_hold_too_much_memory_is_refused() -> None:
    wide = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=0)
    writer = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    frame = writer.compress(bytes(10_000)) + writer.flush()
    with pytest.raises(BadChecksum):
        decode(frame, 10_000)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    assert not codec.available()
    with pytest.raises(WrongStateError) as caught:
        codec.encode(b"a")
    assert caught.value.mend == "pip install 'runctl[compress]'"
    with pytest.raises(WrongStateError):
        decode(b"a", 1)
    with pytest.raises(WrongStateError):
        codec.require()


def test_with_the_extra_it_is_available() -> None:
    assert codec.available()
    codec.require()
