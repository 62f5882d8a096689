"""Whether a file is compressed, and in how large pieces: by a sample of it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from runctl_agent.contract.files import IDENTITY, ZSTD
from runctl_agent.priority import standing_back

from . import codec
from .piece import read_exactly
from .plan import Span

SAMPLE = 256 * 1024
SAMPLES = 4
MOST_GROUPED = 8
"""Content parts in one part of the upload: where they compress to more than they were expected to, so much is in memory."""


@dataclass(frozen=True, slots=True)
class Choice:
    """`grouped`: content parts in one part of the upload, so that it reaches the least size that S3 takes.

    `sampled`: the ratio found, where compression was declined for it.
    """

    encoding: str = IDENTITY
    grouped: int = 1
    sampled: float | None = None


def choose(setting: str, ratio: float) -> Choice:
    """`setting` is `zstd` or `auto`; `ratio`: content bytes to compressed bytes of the sample. Pure.

    >>> choose("auto", 1.04), choose("zstd", 1.04).encoding, choose("auto", 3.5).grouped
    (Choice(encoding='identity', grouped=1, sampled=1.04), 'zstd', 3)
    """
    if setting == "auto" and ratio < codec.PAYS:
        return Choice(sampled=round(ratio, 3))
    return Choice(ZSTD, min(max(int(ratio), 1), MOST_GROUPED))


@standing_back()
def sampled_ratio(descriptor: int, size: int, path: str) -> float:
    """Content bytes to compressed bytes, of SAMPLES pieces spread over the file. Raises SourceChanged, StoreError."""
    length = min(SAMPLE, size)
    starts = sorted({(size - length) * n // (SAMPLES - 1) for n in range(SAMPLES)})
    pieces = [read_exactly(descriptor, Span(1, start, length), path) for start in starts]
    return len(pieces) * length / max(sum(len(codec.encode(piece)) for piece in pieces), 1)


def choice_for(setting: str, opened: int, size: int, path: str) -> Choice:
    """For the file behind a descriptor, which is closed."""
    try:
        return choose(setting, sampled_ratio(opened, size, path))
    finally:
        os.close(opened)
