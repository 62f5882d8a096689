"""One part of an upload, read once: its bytes as they are sent, the digests of its content, and the checksum."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
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


CHUNK = 1024**2
"""Bytes that are looked at before the next are read, while they are in the processor's cache."""


@standing_back()
def read_piece(
    descriptor: int,
    span: Span,
    path: str,
    room: memoryview,
    *,
    encoding: str = IDENTITY,
    contents: Sequence[Span] = (),
    least: int = 0,
) -> Piece:
    """Read exactly one span into `room`, which is as large, and give its pages back to the page cache's other users.

    To compress it, its content parts `contents` are told; what comes out is filled up to `least` bytes.
    `path` only names the file in errors. Raises SourceChanged, StoreError, WrongStateError (compression is not installed).
    """
    if encoding == ZSTD:
        return _compressed(descriptor, span, path, room, contents, least)
    hashed, checksum = blake3(), 0
    for chunk in _chunks(descriptor, span, path, room):
        hashed.update(chunk)
        checksum = crc32(chunk, checksum)
    return Piece(span, room, (hashed.hexdigest(),), checksum)


class Facts(NamedTuple):
    """What is known of content that was read and not kept: the digests of its parts, BLAKE3 in hexadecimal, and its CRC-32."""

    digests: tuple[str, ...]
    crc: int


@standing_back()
def read_facts(descriptor: int, contents: Iterable[Span], path: str) -> Facts:
    """Of content parts that follow each other. Raises SourceChanged, StoreError."""
    room = memoryview(bytearray(CHUNK))
    digests: list[str] = []
    checksum = 0
    for span in contents:
        hashed = blake3()
        for chunk in _chunks(descriptor, span, path, room):
            hashed.update(chunk)
            checksum = crc32(chunk, checksum)
        digests.append(hashed.hexdigest())
    return Facts(tuple(digests), checksum)


def read_exactly(descriptor: int, span: Span, path: str, room: memoryview | None = None) -> memoryview:
    """The bytes of one span, in `room` or in memory of their own. Raises SourceChanged, StoreError."""
    body = memoryview(bytearray(span.length)) if room is None else room[: span.length]
    for _ in _chunks(descriptor, span, path, body):
        pass
    return body


def _chunks(descriptor: int, span: Span, path: str, room: memoryview) -> Iterator[memoryview]:
    """Read a span chunk by chunk, one after the other into `room`, from its beginning again where it is full."""
    try:
        for begin in range(0, span.length, CHUNK):
            length, at = min(CHUNK, span.length - begin), begin % len(room)
            chunk = room[at : at + length]
            _fill(descriptor, chunk, span.offset + begin, path)
            yield chunk
    finally:
        # A length of 0 would mean "to the end of the file" (posix_fadvise(2)).
        if span.length:
            os.posix_fadvise(descriptor, span.offset, span.length, os.POSIX_FADV_DONTNEED)


def changed(path: str, why: str) -> SourceChanged:
    return SourceChanged(f"{path!a} changed while it was being sent", why, "nothing to do: the new content is sent instead")


def digest_of_parts(digests: Iterable[str]) -> str:
    """What a manifest says of a file: one part's own digest, or the digest of all parts' raw digests put together."""
    listed = list(digests)
    if len(listed) == 1:
        return f"blake3:{listed[0]}"
    return f"blake3-parts:{blake3(b''.join(map(bytes.fromhex, listed))).hexdigest()}"


def _compressed(descriptor: int, span: Span, path: str, room: memoryview, contents: Sequence[Span], least: int) -> Piece:
    body = bytearray()
    digests: list[str] = []
    frames: list[Frame] = []
    for content in contents:
        read = read_exactly(descriptor, content, path, room)
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
