"""One part of an upload, read once: its bytes as they are sent, the digests of its content, and the checksum."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from blake3 import blake3

from runctl_agent.contract.files import IDENTITY, ZSTD
from runctl_agent.errors import SourceChanged, StoreError
from runctl_agent.priority import standing_back

from . import codec, crc
from .crc import crc32
from .plan import Span


class Frame(NamedTuple):
    """What one content part takes in a compressed object: bytes, with what fills up after it, and their CRC-32."""

    stored: int
    crc: int


class Piece(NamedTuple):
    """`body` is what is sent, `crc` its CRC-32; `digests` are those of the content parts, BLAKE3 in hexadecimal.

    `frames`: of a compressed piece, one for each content part.
    """

    span: Span
    body: memoryview | bytearray
    digests: tuple[str, ...]
    crc: int
    frames: tuple[Frame, ...] = ()


@standing_back()
def read_piece(
    descriptor: int, span: Span, path: str, *, encoding: str = IDENTITY, contents: Sequence[Span] = (), least: int = 0
) -> Piece:
    """Read exactly one span, and give its pages back to the page cache's other users.

    To compress it, its content parts `contents` are told; what comes out is filled up to `least` bytes.
    `path` only names the file in errors. Raises SourceChanged, StoreError, WrongStateError (compression is not installed).
    """
    if encoding == ZSTD:
        return _compressed(descriptor, span, path, contents, least)
    body = read_exactly(descriptor, span, path)
    return Piece(span, body, (blake3(body).hexdigest(),), crc32(body))


class Facts(NamedTuple):
    """What is known of content that was read and not kept: the digests of its parts, BLAKE3 in hexadecimal, and its CRC-32."""

    digests: tuple[str, ...]
    crc: int


@standing_back()
def read_facts(descriptor: int, contents: Iterable[Span], path: str) -> Facts:
    """Of content parts that follow each other. Raises SourceChanged, StoreError."""
    digests: list[str] = []
    checksum = 0
    for span in contents:
        read = read_exactly(descriptor, span, path)
        digests.append(blake3(read).hexdigest())
        checksum = crc32(read, checksum)
    return Facts(tuple(digests), checksum)


def read_exactly(descriptor: int, span: Span, path: str) -> memoryview:
    """The bytes of one span; their pages are given back. Raises SourceChanged, StoreError."""
    body = memoryview(bytearray(span.length))
    try:
        _fill(descriptor, body, span.offset, path)
    finally:
        # A length of 0 would mean "to the end of the file" (posix_fadvise(2)).
        if span.length:
            os.posix_fadvise(descriptor, span.offset, span.length, os.POSIX_FADV_DONTNEED)
    return body


def changed(path: str, why: str) -> SourceChanged:
    return SourceChanged(f"{path!a} changed while it was being sent", why, "nothing to do: the new content is sent instead")


def digest_of_parts(digests: Iterable[str]) -> str:
    """What a manifest says of a file: one part's own digest, or the digest of all parts' raw digests put together."""
    listed = list(digests)
    if len(listed) == 1:
        return f"blake3:{listed[0]}"
    return f"blake3-parts:{blake3(b''.join(map(bytes.fromhex, listed))).hexdigest()}"


def _compressed(descriptor: int, span: Span, path: str, contents: Sequence[Span], least: int) -> Piece:
    body = bytearray()
    digests: list[str] = []
    frames: list[Frame] = []
    for content in contents:
        read = read_exactly(descriptor, content, path)
        digests.append(blake3(read).hexdigest())
        frame = codec.encode(read)
        if content == contents[-1]:
            frame += codec.filling(least - len(body) - len(frame))
        frames.append(Frame(len(frame), crc32(frame)))
        body += frame
    return Piece(span, body, tuple(digests), crc.combine_all((frame.crc, frame.stored) for frame in frames), tuple(frames))


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
