"""The files of a manifest, and how each looks in the document."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass

from .document import LARGEST, Fields, Wrong, array, between, count, optional, ratio, show, text
from .names import digest, file_bytes, object_key, relative_path, word

IDENTITY = "identity"
ZSTD = "zstd"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a file's content: offset and size in bytes, `digest` as `blake3:<hex>`.

    `stored`: bytes that it takes in a compressed object, its frame and what fills up after it; `crc`: their CRC-32. Both
    None where the object is the content itself.
    """

    offset: int
    size: int
    digest: str
    stored: int | None = None
    crc: int | None = None


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """One file. `path` is relative to the checkpoint, `object` to `<destination>/<run>/`; `crc` is the object's CRC-32.

    `sampled`: the ratio that compression was found to reach, where it was declined for it; `copied`: bytes of the object
    that were copied inside S3 from an earlier one instead of being sent.
    """

    path: str
    size: int
    mtime_ns: int
    digest: str  # blake3:<hex> of the content; blake3-parts:<hex> of the parts' digests where there are several parts
    crc: int
    object: str
    encoding: str = IDENTITY
    parts: tuple[Part, ...] = ()
    sampled: float | None = None
    copied: int = 0

    @property
    def stored(self) -> int:
        """Bytes of the object."""
        return sum(part.stored or 0 for part in self.parts) if self.encoding == ZSTD else self.size


def plain_file(file: ManifestFile) -> dict[str, object]:
    plain: dict[str, object] = {
        "path": file.path,
        "size": file.size,
        "mtime": file.mtime_ns,
        "digest": file.digest,
        "checksum": {"algorithm": "CRC32", "value": encode_crc(file.crc)},
        "object": file.object,
        "encoding": file.encoding,
        "parts": [_plain_part(part) for part in file.parts],
    }
    if file.sampled is not None:
        plain["sampled"] = file.sampled
    if file.copied:
        plain["copied"] = file.copied
    return plain


def _plain_part(part: Part) -> dict[str, object]:
    plain: dict[str, object] = {"offset": part.offset, "size": part.size, "digest": part.digest}
    if part.stored is not None:
        plain["stored"] = part.stored
    if part.crc is not None:
        plain["crc"] = encode_crc(part.crc)
    return plain


def read_file(value: object) -> ManifestFile:
    fields = Fields(value)
    file = ManifestFile(
        path=fields.need("path", relative_path),
        size=fields.need("size", count),
        mtime_ns=fields.need("mtime", between(-LARGEST, LARGEST)),
        digest=fields.need("digest", digest),
        crc=fields.need("checksum", _checksum),
        object=fields.need("object", object_key),
        encoding=fields.get("encoding", word, "identity"),
        parts=fields.get("parts", array(_part), ()),
        sampled=fields.get("sampled", optional(ratio), None),
        copied=fields.get("copied", count, 0),
    )
    _cover(file)
    _stored(file)
    return file


def one_tree(files: Iterable[ManifestFile]) -> None:
    """Raises Wrong where two paths could not stand in one directory: twice the same, or one below the other."""
    paths = [file_bytes(file.path) for file in files]
    known = set(paths)
    if len(known) != len(paths):
        raise Wrong("two files have the same path", "files")
    for path in paths:
        parent = path.rpartition(b"/")[0]
        while parent:
            if parent in known:
                raise Wrong(f"{parent!a} is both a file and a directory", "files")
            parent = parent.rpartition(b"/")[0]


def encode_crc(crc: int) -> str:
    """A CRC-32 as S3 shows it: base64 of its four bytes, most significant first (ChecksumCRC32, Amazon S3 API)."""
    if not 0 <= crc < 2**32:
        raise ValueError(f"{crc} is not a CRC-32")
    return base64.b64encode(crc.to_bytes(4, "big")).decode("ascii")


def read_crc(value: object) -> int:
    """The reverse of `encode_crc`."""
    try:
        raw = base64.b64decode(text(value).encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raw = b""
    if len(raw) != 4:
        raise Wrong(f"{show(value)} is not the base64 of four bytes")
    return int.from_bytes(raw, "big")


def _checksum(value: object) -> int:
    fields = Fields(value)
    algorithm = fields.need("algorithm", text)
    if algorithm != "CRC32":
        raise Wrong(f"{show(algorithm)} is not CRC32", "algorithm")
    return fields.need("value", read_crc)


def _part(value: object) -> Part:
    fields = Fields(value)
    return Part(
        offset=fields.need("offset", count),
        size=fields.need("size", count),
        digest=fields.need("digest", digest),
        stored=fields.get("stored", optional(count), None),
        crc=fields.get("crc", optional(read_crc), None),
    )


def _cover(file: ManifestFile) -> None:
    """Raises Wrong unless the parts, where there are any, follow each other from the first byte to the last."""
    if not file.parts:
        return
    end = 0
    for part in file.parts:
        if part.offset != end:
            raise Wrong(f"a part begins at {part.offset}, not at {end}", "parts")
        end += part.size
    if end != file.size:
        raise Wrong(f"the parts end at {end}, the file at {file.size}", "parts")


def _stored(file: ManifestFile) -> None:
    """Raises Wrong unless a compressed file says of every part what it takes in the object, and no other does.

    What is not known to this version may lie in any way: it is not restored.
    """
    full = [part.stored is not None and part.crc is not None for part in file.parts]
    if file.encoding == ZSTD and not (full and all(full)):
        raise Wrong("a part of a compressed file does not say what it takes in the object", "parts")
    if file.encoding == IDENTITY and any(part.stored is not None or part.crc is not None for part in file.parts):
        raise Wrong("a part says what it takes in a compressed object, and the object is not compressed", "parts")
    if file.copied > file.size:
        raise Wrong(f"{file.copied} bytes were copied of {file.size}", "copied")
