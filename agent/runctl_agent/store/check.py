"""Whether a file's content is what its manifest says: size, CRC-32, digest, and the digest of every part."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from blake3 import blake3

from runctl_agent.contract.manifest import Manifest, ManifestFile
from runctl_agent.records import IN_PLACE, Kind

from .piece import digest_of_parts

WHOLE = "blake3"
IN_PARTS = "blake3-parts"


class Check:
    """Feed it the content in order, then ask for the fault."""

    def __init__(self, file: ManifestFile) -> None:
        self._file = file
        self._size = 0
        self._crc = 0
        self._whole = blake3() if file.digest.startswith(WHOLE + ":") else None
        self._part = blake3()
        self._parts: list[str] = []
        self._bounds = [part.offset + part.size for part in file.parts]

    def update(self, data: bytes | memoryview) -> None:
        self._crc = zlib.crc32(data, self._crc)
        if self._whole is not None:
            self._whole.update(data)
        if self._bounds:
            self._split(memoryview(data))
        self._size += len(data)

    def _split(self, data: memoryview) -> None:
        at = self._size
        while len(data) and len(self._parts) < len(self._bounds):
            end = self._bounds[len(self._parts)]
            mine, data = data[: end - at], data[end - at :]
            self._part.update(mine)
            at += len(mine)
            if at == end:
                self._end_part()

    def _end_part(self) -> None:
        self._parts.append(f"{WHOLE}:{self._part.hexdigest()}")
        self._part = blake3()

    def fault(self) -> str:
        """What is not as it should be, in a few words; empty if nothing."""
        file = self._file
        while len(self._parts) < len(self._bounds) and self._bounds[len(self._parts)] == self._size:
            self._end_part()  # an empty part, at the end
        if self._size != file.size:
            return f"{self._size} bytes instead of {file.size}"
        if self._crc != file.crc:
            return f"the CRC-32 is {self._crc:08x} instead of {file.crc:08x}"
        if self._parts != [part.digest for part in file.parts]:
            return "a part's digest differs"
        digest = f"{WHOLE}:{self._whole.hexdigest()}" if self._whole is not None else _of_parts(self._parts)
        return "" if digest == file.digest else f"the digest is {digest} instead of {file.digest}"


def _of_parts(digests: Iterable[str]) -> str:
    return digest_of_parts(digest.partition(":")[2] for digest in digests)


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
    if file.encoding != "identity":
        return f"the encoding {file.encoding!r} of {file.path!r} is not known to this version"
    digests = [file.digest, *(part.digest for part in file.parts)]
    if any(digest.partition(":")[0] not in (WHOLE, IN_PARTS) for digest in digests):
        return f"the digest algorithm of {file.path!r} is not known to this version"
    return ""
