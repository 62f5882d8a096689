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


@given(st.binary(max_size=4096), st.integers(-5, 5000))
def test_what_goes_in_comes_out_with_or_without_filling(content: bytes, lacking: int) -> None:
    stored = codec.encode(content) + codec.filling(lacking)
    assert codec.decode_frame(stored, len(content)) == content
    assert codec.decode_frame(memoryview(stored), len(content)) == content


@given(st.lists(st.tuples(st.binary(max_size=2000), st.integers(0, 3000)), max_size=5))
def test_frames_in_a_row_are_one_ordinary_file(parts: list[tuple[bytes, int]]) -> None:
    whole = b"".join(codec.encode(content) + codec.filling(lacking) for content, lacking in parts)
    reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(whole), read_across_frames=True)
    assert reader.read() == b"".join(content for content, _ in parts)


@given(st.binary(max_size=200), st.integers(0, 300))
def test_garbage_is_refused(stored: bytes, size: int) -> None:
    with pytest.raises(BadChecksum):
        codec.decode_frame(stored, size)


@given(st.binary(min_size=1, max_size=500), st.data())
def test_a_changed_byte_is_noticed(content: bytes, data: st.DataObject) -> None:
    stored = bytearray(codec.encode(content))
    at = data.draw(st.integers(0, len(stored) - 1))
    stored[at] ^= data.draw(st.integers(1, 255))
    try:
        found = codec.decode_frame(bytes(stored), len(content))
    except BadChecksum:
        return
    assert found == content, "only bits that mean nothing may differ"


def test_a_frame_that_would_fill_the_memory_is_refused() -> None:
    bomb = codec.encode(bytes(64 * 1024 * 1024))
    assert len(bomb) < 64 * 1024
    with pytest.raises(BadChecksum, match="67108864 bytes instead of 1024"):
        codec.decode_frame(bomb, 1024)


def test_a_frame_that_does_not_say_its_size_is_refused() -> None:
    writer = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    with pytest.raises(BadChecksum):
        codec.decode_frame(writer.compress(bytes(10_000)) + writer.flush(), 10_000)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    assert not codec.available()
    with pytest.raises(WrongStateError) as caught:
        codec.encode(b"a")
    assert caught.value.mend == "pip install 'runctl[compress]'"
    with pytest.raises(WrongStateError):
        codec.decode_frame(b"a", 1)


def test_with_the_extra_it_is_available() -> None:
    assert codec.available()
