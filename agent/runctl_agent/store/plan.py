"""How a file is cut into parts. Pure.

Limits: "Amazon S3 multipart upload limits", Amazon S3 User Guide.
"""

from __future__ import annotations

from typing import NamedTuple

from runctl_agent.errors import StoreRefused

MIB = 1024**2
GIB = 1024**3

MOST_PARTS = 10_000
SMALLEST_PART = 8 * MIB
LEAST_PART = 5 * MIB
"""The least that S3 takes for a part that is not the last."""
LARGEST_PART = 5 * GIB
LARGEST_OBJECT = MOST_PARTS * LARGEST_PART  # 48.8 TiB


class Span(NamedTuple):
    """Part `number` (from 1) of a file: `length` bytes from `offset`."""

    number: int
    offset: int
    length: int


def part_size(size: int) -> int:
    """Bytes in each part but the last; depends on the file's size alone, so that equal files have equal digests.

    Grows by whole MiB and no faster than it must, because parts are held in memory. Raises StoreRefused above 48.8 TiB.
    """
    if size > LARGEST_OBJECT:
        raise StoreRefused(
            f"a file of {size} bytes can't be sent",
            f"an S3 object has at most {LARGEST_OBJECT} bytes (48.8 TiB)",
            "write the checkpoint in shards",
        )
    fewest = -(-size // MOST_PARTS)
    return max(SMALLEST_PART, -(-fewest // MIB) * MIB)


def cut(size: int, length: int) -> list[Span]:
    """Spans of `length` bytes that cover `size` bytes; an empty file has one empty span.

    >>> cut(10, 4)
    [Span(number=1, offset=0, length=4), Span(number=2, offset=4, length=4), Span(number=3, offset=8, length=2)]
    >>> cut(0, 4)
    [Span(number=1, offset=0, length=0)]
    """
    offsets = range(0, size, length) if size else (0,)
    return [Span(number, offset, min(length, size - offset)) for number, offset in enumerate(offsets, 1)]


def parts(size: int) -> list[Span]:
    """The parts of a file of `size` bytes; with one part it goes as a single PUT."""
    return cut(size, part_size(size))
