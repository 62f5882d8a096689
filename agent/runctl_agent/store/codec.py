"""Compression in independent frames: each content part is a Zstandard frame of its own (RFC 8878).

So a part can be sent, resumed, copied and fetched without the others, and `zstd -d` reads the object. What fills up a
part of the upload to the least that S3 takes is a skippable frame (RFC 8878, section 3.1.2), which decoders pass by.
"""

from __future__ import annotations

import struct
from types import ModuleType

from runctl_agent.errors import BadChecksum, WrongStateError

LEVEL = 1
PAYS = 1.1
"""The least ratio for which `auto` compresses: below it the CPU is worth more to the training than the bytes."""

_SKIPPABLE = 0x184D2A50
_HEADER = struct.Struct("<II")


def available() -> bool:
    """Whether the extra `compress` is installed."""
    try:
        _zstandard()
    except WrongStateError:
        return False
    return True


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


def decode_frame(stored: bytes | memoryview, size: int) -> bytes:
    """The `size` bytes of content of one part, from its frame and what fills up after it.

    Never makes more than `size` bytes, whatever the frame says. Raises BadChecksum, WrongStateError.
    """
    zstandard = _zstandard()
    try:
        announced = zstandard.frame_content_size(stored)
        if announced != size:
            raise BadChecksum("a compressed part can't be read", f"its frame holds {announced} bytes instead of {size}")
        content: bytes = zstandard.ZstdDecompressor().decompress(stored) if size else b""
    except zstandard.ZstdError as error:
        raise BadChecksum("a compressed part can't be read", str(error)) from error
    return content


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
