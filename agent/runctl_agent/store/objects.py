"""The object store as the agent needs it: one port, so that nobody else knows which S3 answers.

Keys are whole S3 keys, without the bucket. `etag` values are opaque. `crc` is the CRC-32 of ISO 3309 as `zlib.crc32`
gives it, full-object, which S3 checks on arrival ("Checking object integrity", Amazon S3 User Guide).
Every method may raise `StoreUnavailable` (also when only the answer was lost) and `StoreRefused`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Got:
    body: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class Head:
    """`crc` is None where the store keeps no full-object CRC-32 for this object."""

    size: int
    etag: str
    crc: int | None


@dataclass(frozen=True, slots=True)
class SentPart:
    """A part the store has: number from 1, size in bytes."""

    number: int
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class Source:
    """Bytes of an object in the same bucket: `length` of them from `offset`, while its etag is `etag`."""

    key: str
    etag: str
    offset: int
    length: int


class Body(Protocol):
    """Bytes of a range as they arrive, in order."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Put the next of them into `buffer`; how many: 0 only where none are left.

        Raises StoreUnavailable if they end too early.
        """


class ObjectStore(Protocol):
    def put(
        self,
        key: str,
        body: bytes | memoryview,
        *,
        crc: int | None = None,
        if_absent: bool = False,
        if_match: str | None = None,
    ) -> str:
        """Write a whole object and return its etag. `crc`: computed of the body where it is not given.

        Raises PreconditionFailed (`if_absent` and it exists; `if_match` and the etag differs or nothing is there: S3 says
        404, SeaweedFS 412), BadChecksum.
        """

    def get(self, key: str) -> Got | None:
        """A document whole, of a larger object one byte more than LARGEST_BODY; None if it does not exist.

        Raises StoreUnavailable for other bytes than the store has.
        """

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`. Raises NotFoundError (no such object), StoreUnavailable (short answer)."""

    def open_range(self, key: str, offset: int, length: int) -> AbstractContextManager[Body]:
        """The same, of any length from 1, without holding it in memory. May be left before its end."""

    def head(self, key: str) -> Head | None:
        """None if it does not exist."""

    def list(self, prefix: str) -> Iterator[str]:
        """All keys under `prefix`, in order, paged by the implementation."""

    def create_multipart(self, key: str) -> str:
        """Begin a multipart upload with full-object CRC-32; returns the upload id."""

    def put_part(self, key: str, upload_id: str, number: int, body: bytes | memoryview, crc: int) -> str:
        """Send part `number` (1 to 10,000) and return its etag. Raises BadChecksum, NoSuchUpload."""

    def copy_part(self, key: str, upload_id: str, number: int, source: Source) -> str:
        """Make part `number` of bytes that the bucket has already; returns its etag.

        Raises NotFoundError, PreconditionFailed (the source is another object now), NoSuchUpload.
        """

    def list_parts(self, key: str, upload_id: str) -> Sequence[SentPart]:
        """Every part the store has, by number. Raises NoSuchUpload."""

    def complete_multipart(self, key: str, upload_id: str, parts: Sequence[SentPart], crc: int) -> str:
        """Make the object of `parts`; `crc` is the whole object's. Returns its etag. Raises BadChecksum, NoSuchUpload."""

    def abort_multipart(self, key: str, upload_id: str) -> None:
        """Forget an upload; one already gone is no error."""

    def delete(self, key: str) -> None:
        """Delete one object; one already gone is no error."""
