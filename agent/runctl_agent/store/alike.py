"""What of a file an earlier object has already. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from runctl_agent.contract.files import IDENTITY, ManifestFile, Part

from . import crc
from .piece import Frame
from .plan import Span


@dataclass(frozen=True, slots=True)
class Known:
    """A file that is stored already, and the checkpoint (`<epoch>-<seq>`) whose manifest says so."""

    file: ManifestFile
    through: str


@dataclass(frozen=True, slots=True)
class Equal:
    """Where a part's bytes lie in another object: `length` from `offset`, as they are stored there."""

    offset: int
    length: int
    frames: tuple[Frame, ...] = ()

    @property
    def crc(self) -> int | None:
        """Of the stored bytes, where they are compressed; else it is the content's own."""
        return crc.combine_all((frame.crc, frame.stored) for frame in self.frames) if self.frames else None


def parts_of(file: ManifestFile) -> tuple[Part, ...]:
    """Every content part; a file of one part need not list it."""
    return file.parts or (Part(0, file.size, file.digest),)


def head(file: ManifestFile) -> str:
    """The digest of the first content part."""
    return parts_of(file)[0].digest


def found_in(file: ManifestFile, span: Span, digests: Sequence[str]) -> slice | None:
    """Which content parts of `file` are this span of another file: equal in offset, length and digests (hexadecimal)."""
    parts = parts_of(file)
    first = bisect_left(parts, span.offset, key=lambda part: part.offset)
    found = parts[first : first + len(digests)]
    if not found or found[0].offset != span.offset or sum(part.size for part in found) != span.length:
        return None
    same = [part.digest for part in found] == [f"blake3:{digest}" for digest in digests]
    return slice(first, first + len(digests)) if same else None


def equal_in(base: ManifestFile, span: Span, digests: Sequence[str], encoding: str, least: int) -> Equal | None:
    """Where the object of `base` has this span, in this encoding; None where it has not, or fewer than `least` bytes."""
    found = found_in(base, span, digests) if base.encoding == encoding else None
    if found is None:
        return None
    if encoding == IDENTITY:
        equal = Equal(span.offset, span.length)
    else:
        parts = parts_of(base)
        frames = tuple(Frame(part.stored or 0, part.crc or 0) for part in parts[found])
        before = sum(part.stored or 0 for part in parts[: found.start])
        equal = Equal(before, sum(frame.stored for frame in frames), frames)
    return equal if equal.length >= least else None
