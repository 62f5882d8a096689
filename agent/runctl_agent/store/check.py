"""Whether content is what its manifest says: each part by its own digest, the whole by its size and CRC-32.

A file is fetched and verified by portions, in any order and from several tasks at once, so that no second pass over it is
needed and a damaged portion is all that has to be fetched anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from blake3 import blake3

from runctl_agent.contract.files import IDENTITY, ZSTD
from runctl_agent.contract.manifest import Manifest, ManifestFile
from runctl_agent.records import IN_PLACE, Kind

from .crc import combine_all, crc32
from .piece import digest_of_parts

WHOLE = "blake3"
_LENGTH = len(WHOLE) + 1 + 64  # of its 256 bits


@dataclass(frozen=True, slots=True)
class Portion:
    """A part of a file, or all of one that lists no parts: `size` bytes of content from `offset`.

    In the object it takes `stored` bytes from `at`; `crc` is their CRC-32, None where they are the content itself.
    """

    number: int
    offset: int
    size: int
    digest: str
    at: int
    stored: int
    crc: int | None = None


def portions(file: ManifestFile) -> tuple[Portion, ...]:
    """In order; they cover the file and its object."""
    if not file.parts:
        return (Portion(0, 0, file.size, file.digest, 0, file.size),)
    found: list[Portion] = []
    at = 0
    for number, part in enumerate(file.parts):
        stored = part.size if part.stored is None else part.stored
        found.append(Portion(number, part.offset, part.size, part.digest, at, stored, part.crc))
        at += stored
    return tuple(found)


class Sum:
    """What is known of bytes that go by, in order."""

    def __init__(self) -> None:
        self._hash = blake3()
        self.size = 0
        self.crc = 0

    def update(self, data: bytes | memoryview) -> None:
        self._hash.update(data)
        self.crc = crc32(data, self.crc)
        self.size += len(data)

    @property
    def digest(self) -> str:
        return f"{WHOLE}:{self._hash.hexdigest()}"

    def fault(self, portion: Portion) -> str:
        """What the content of `portion` is not, in a few words; empty if it is what it should be."""
        if self.size != portion.size:
            return f"{self.size} bytes from byte {portion.offset} instead of {portion.size}"
        digest = self.digest
        return (
            "" if digest == portion.digest else f"from byte {portion.offset} the digest is {digest} instead of {portion.digest}"
        )


def whole_fault(file: ManifestFile, crcs: Iterable[int]) -> str:
    """What is wrong with a file whose every portion is right; `crcs` are those of the portions' stored bytes, in order."""
    lengths = (portion.stored for portion in portions(file))
    crc = combine_all(zip(crcs, lengths, strict=True))
    return "" if crc == file.crc else f"the CRC-32 is {crc:08x} instead of {file.crc:08x}"


def unknown(manifest: Manifest) -> str:
    """Why this version can't restore a manifest at all; empty if it can."""
    if manifest.kind not in list(Kind):
        return f"its kind {manifest.kind!r} is not known to this version"
    if not manifest.files:
        return "it has no files"
    in_place = manifest.kind in IN_PLACE
    return next((reason for file in manifest.files if (reason := _unknown_file(file, in_place))), "")


def _unknown_file(file: ManifestFile, in_place: bool) -> str:
    parts = file.path.split("/")
    if not {"", ".", ".."}.isdisjoint(parts) or "\0" in file.path or (in_place and len(parts) > 1):
        return f"{file.path!r} is not a path that it may have"
    if file.encoding not in (IDENTITY, ZSTD):
        return f"the encoding {file.encoding!r} of {file.path!r} is not known to this version"
    digests = [portion.digest for portion in portions(file)]
    if any(digest.partition(":")[0] != WHOLE for digest in digests):
        return f"the digest algorithm of {file.path!r} is not known to this version"
    if any(len(digest) != _LENGTH for digest in digests):
        return f"a digest of {file.path!r} is none of BLAKE3"
    if file.parts and file.digest != digest_of_parts(digest.partition(":")[2] for digest in digests):
        return f"the digest of {file.path!r} is not that of its parts"
    return ""
