"""Compression in independent frames: each content part is a Zstandard frame of its own (RFC 8878).

So a part can be sent, resumed, copied and fetched without the others, and `zstd -d` reads the object. What fills up a
part of the upload to the least that S3 takes is a skippable frame (RFC 8878, section 3.1.2), which decoders pass by.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from importlib.util import find_spec
from types import ModuleType
from typing import Protocol

from runctl_agent.errors import BadChecksum, WrongStateError

LEVEL = 1
PAYS = 1.1
"""The least ratio for which `auto` compresses: below it the CPU is worth more to the training than the bytes."""

LARGEST_WINDOW = 8 * 1024 * 1024
"""Bytes that a decoder holds: what RFC 8878 (section 3.1.1.1.2) asks every decoder to support, and no more."""

_SKIPPABLE = 0x184D2A50
_HEADER = struct.Struct("<II")


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def available() -> bool:
    """Whether the extra `compress` is installed."""
    return find_spec("zstandard") is not None


def lacks(setting: str) -> str:
    """Why this compression can't be done here, one sentence; empty if it can."""
    if setting == "none" or available():
        return ""
    return f"compression: {setting} is not done: zstandard is not installed (pip install 'runctl[compress]')"


def encode(content: bytes | memoryview) -> bytes:
    """One frame, with the content's size and checksum in it. Raises WrongStateError where zstandard is not installed."""
    frame: bytes = _zstandard().ZstdCompressor(level=LEVEL, write_checksum=True, write_content_size=True).compress(content)
    return frame


def filling(lacking: int) -> bytes:
    """The skippable frame of at least `lacking` bytes; empty if nothing is lacking.

    >>> [len(filling(lacking)) for lacking in (-1, 0, 1, 8, 9)]
    [0, 0, 8, 8, 9]
    """
    if lacking <= 0:
        return b""
    rest = max(lacking - _HEADER.size, 0)
    return _HEADER.pack(_SKIPPABLE, rest) + bytes(rest)


def require() -> None:
    """Raises WrongStateError where the extra is not installed."""
    _zstandard()


def decoded(stored: Readable, size: int, piece: int) -> Iterator[bytes]:
    """The `size` bytes of content of the frame that `stored` begins with, in pieces of at most `piece` bytes.

    Never makes more than that, nor holds more, whatever the frame says; what it makes is too little where the frame ends
    too early. Raises BadChecksum, WrongStateError, and what reading raises.
    """
    zstandard = _zstandard()
    reader = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW).stream_reader(
        stored, read_size=piece, read_across_frames=False, closefd=False
    )
    made = 0
    while data := _read(reader, piece, zstandard.ZstdError):
        made += len(data)
        if made > size:
            raise BadChecksum("a compressed part can't be read", f"its frame holds more than {size} bytes")
        yield data


def _read(reader: Readable, piece: int, failure: type[Exception]) -> bytes:
    try:
        return reader.read(piece)
    except failure as error:
        raise BadChecksum("a compressed part can't be read", str(error)) from error


def _zstandard() -> ModuleType:
    # An extra, and 4 MB of memory: only where it is asked for.
    try:
        import zstandard
    except ImportError:
        raise WrongStateError(
            "what is compressed can't be read or written here",
            "the Python package zstandard is not installed",
            "pip install 'runctl[compress]'",
        ) from None
    return zstandard
