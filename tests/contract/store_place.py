"""Where a suite finds the store it is run on, and what that store is known not to do."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import ClassVar

import pytest

from runctl_agent.errors import StoreError
from runctl_agent.store.objects import ObjectStore, SentPart

PART = 5 * 1024 * 1024  # the least that S3 takes for any part but the last
FIRST = bytes(range(256)) * (PART // 256)
LAST = b"the last part may be shorter"
WHOLE = FIRST + LAST
ELSE = '"0123456789abcdef0123456789abcdef"'
"""The etag of something else."""


def sent_parts(store: ObjectStore, key: str, upload: str, *bodies: bytes) -> list[SentPart]:
    """Parts sent in their order."""
    etags = [store.put_part(key, upload, number, body, zlib.crc32(body)) for number, body in enumerate(bodies, 1)]
    return [SentPart(number, len(body), etag) for number, (body, etag) in enumerate(zip(bodies, etags, strict=True), 1)]


def made_of_parts(store: ObjectStore, key: str, *bodies: bytes) -> str:
    """The etag of an object made of these parts."""
    upload = store.create_multipart(key)
    parts = sent_parts(store, key, upload, *bodies)
    return store.complete_multipart(key, upload, parts, zlib.crc32(b"".join(bodies)))


def body_of(store: ObjectStore, key: str) -> bytes | None:
    got = store.get(key)
    return None if got is None else got.body


class Lack(Enum):
    """What S3 does, and a store may be known not to do."""

    CHECKSUMS = "a body, a part and a whole that are not their CRC-32 are refused"
    CRC_OF_AN_OBJECT = "HEAD shows the CRC-32 of an object that was put whole"
    SIZE_OF_THE_WHOLE = "a whole that has not the size announced is refused"
    GONE_UPLOADS = "a part for an upload that is gone is refused as that"
    KEY_OF_AN_UPLOAD = "an upload's id goes with its key alone"
    SOURCE_OF_A_COPY = "a copy of what is another object now, or past its end, is refused"
    TWICE = "a whole that names a part twice is refused"
    KEY_LENGTH = "a key of more than 1,024 bytes is refused"
    RACES = "one of many writers wins"


class StorePlace:
    lacks: ClassVar[frozenset[Lack]] = frozenset()
    """Asserted: a store that has learned one of these fails until it is taken off its list."""

    @contextmanager
    def refused(self, lack: Lack, error: type[StoreError], *, known: type[StoreError] | None = None) -> Iterator[None]:
        """What is done inside is refused with `error`; a store that lacks it does it, or raises what is `known`."""
        if lack not in self.lacks:
            with pytest.raises(error):
                yield
        elif known is not None:
            with pytest.raises(known) as raised:
                yield
            assert not isinstance(raised.value, error)
        else:
            yield

    @pytest.fixture
    def store(self) -> ObjectStore:
        raise NotImplementedError

    @pytest.fixture
    def prefix(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def key(self, prefix: str) -> str:
        return f"{prefix}/key"
