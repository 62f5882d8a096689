"""One part of a file, read once: its bytes, their hash and their checksum."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from blake3 import blake3

from runctl_agent.errors import SourceChanged, StoreError

from .plan import Span


@dataclass(frozen=True, slots=True)
class Piece:
    """`digest` is BLAKE3 in hexadecimal, `crc` CRC-32."""

    span: Span
    body: memoryview
    digest: str
    crc: int


def read_piece(descriptor: int, span: Span, path: str) -> Piece:
    """Read exactly one span and give its pages back to the page cache's other users. Raises SourceChanged, StoreError.

    `path` only names the file in errors.
    """
    body = memoryview(bytearray(span.length))
    try:
        _fill(descriptor, body, span.offset, path)
    finally:
        # A length of 0 would mean "to the end of the file" (posix_fadvise(2)).
        if span.length:
            os.posix_fadvise(descriptor, span.offset, span.length, os.POSIX_FADV_DONTNEED)
    return Piece(span, body, blake3(body).hexdigest(), zlib.crc32(body))


def _fill(descriptor: int, body: memoryview, offset: int, path: str) -> None:
    done = 0
    while done < len(body):
        try:
            count = os.preadv(descriptor, [body[done:]], offset + done)
        except OSError as error:
            raise StoreError(
                f"{path!a} can't be read at {offset + done}",
                error.strerror or str(error),
                "look for disk errors in the kernel's log; it is tried again",
            ) from error
        if count == 0:
            raise changed(path, f"it ends at {offset + done} now")
        done += count


def changed(path: str, why: str) -> SourceChanged:
    return SourceChanged(f"{path!a} changed while it was being sent", why, "nothing to do: the new content is sent instead")


def digest_of_parts(digests: Iterable[str]) -> str:
    """What a manifest says of a file: one part's own digest, or the digest of all parts' raw digests put together."""
    listed = list(digests)
    if len(listed) == 1:
        return f"blake3:{listed[0]}"
    return f"blake3-parts:{blake3(b''.join(map(bytes.fromhex, listed))).hexdigest()}"
