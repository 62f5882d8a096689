"""An object store in memory that keeps S3's rules, and breaks them where a test says so."""

from __future__ import annotations

import hashlib
import io
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from runctl_agent.errors import (
    BadChecksum,
    NoSuchUpload,
    NotFoundError,
    PreconditionFailed,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)
from runctl_agent.store.objects import Got, Head, SentPart, Source

R = TypeVar("R")

LONGEST_KEY = 1024


@dataclass(frozen=True)
class StoredObject:
    """`crc` is what the store computed of the body."""

    body: bytes
    etag: str
    crc: int


@dataclass
class StoredUpload:
    key: str
    parts: dict[int, StoredObject] = field(default_factory=dict)


class _What(Enum):
    FAIL = "nothing happens, and the call raises"
    LOSE = "it happens, and the answer is lost"
    DELAY = "the call raises, and it happens when the test says so"
    CORRUPT = "the body changes on its way"


@dataclass
class _Fault:
    method: str
    what: _What
    times: int
    skip: int
    key: str
    error: StoreError


class MemoryStore:
    """`objects` by key and `uploads` by id may be looked at and changed; `calls` lists (method, key) as they came.

    `keeps_crc=False`: HEAD knows no checksum, as in stores that keep none. `smallest_part`: of any part but the last; S3
    takes none below 5 MiB. `on_call` runs before every call.
    """

    def __init__(self, *, keeps_crc: bool = True, smallest_part: int = 0) -> None:
        self.objects: dict[str, StoredObject] = {}
        self.uploads: dict[str, StoredUpload] = {}
        self.calls: list[tuple[str, str]] = []
        self.on_call: Callable[[str, str], None] = lambda method, key: None
        self._keeps_crc = keeps_crc
        self._smallest_part = smallest_part
        self._faults: list[_Fault] = []
        self._late: list[Callable[[], object]] = []
        self._begun = 0
        self._lock = threading.Lock()

    # --- faults; `method` is the port's; `key`, if given, has to be in the call's; the first `skip` calls go well ---

    def fail_next(self, method: str, error: StoreError | None = None, *, times: int = 1, skip: int = 0, key: str = "") -> None:
        """Raise `error`, by default StoreUnavailable, and do nothing."""
        self._add(_What.FAIL, method, times, skip, key, error)

    def lose_answer(self, method: str, *, times: int = 1, skip: int = 0, key: str = "") -> None:
        """Do it, then raise StoreUnavailable."""
        self._add(_What.LOSE, method, times, skip, key)

    def delay_next(self, method: str, *, times: int = 1, skip: int = 0, key: str = "") -> None:
        """Raise StoreUnavailable; the write lands at `land_late`."""
        self._add(_What.DELAY, method, times, skip, key)

    def corrupt_next(self, method: str, *, times: int = 1, skip: int = 0, key: str = "") -> None:
        """Change one byte of the body on its way; found out if the call carries a checksum."""
        self._add(_What.CORRUPT, method, times, skip, key)

    def land_late(self) -> None:
        """Do what was delayed; what the store then refuses has no effect and nobody to tell."""
        late, self._late = self._late, []
        for effect in late:
            try:
                effect()
            except StoreError:
                continue

    def count(self, method: str, key: str = "") -> int:
        """How often `method` was called with a key that contains `key`."""
        return sum(called == method and key in of for called, of in self.calls)

    # --- the port ---

    def put(
        self,
        key: str,
        body: bytes | memoryview,
        *,
        crc: int | None = None,
        if_absent: bool = False,
        if_match: str | None = None,
    ) -> str:
        arriving = bytes(body)
        sum_of_it = zlib.crc32(arriving) if crc is None else crc

        def effect(body: bytes) -> str:
            if len(key.encode()) > LONGEST_KEY:
                raise StoreRefused(f"writing {key}", "400 KeyTooLongError")
            _check_crc(key, body, sum_of_it)
            standing = self.objects.get(key)
            if if_absent and standing is not None:
                raise PreconditionFailed(f"writing {key}", "412: it exists")
            if if_match is not None and (standing is None or standing.etag != if_match):
                raise PreconditionFailed(f"writing {key}", "412: it is not the one named")
            self.objects[key] = _stored(body)
            return self.objects[key].etag

        return self._call("put", key, lambda: effect(arriving), lambda: effect(_flipped(arriving)))

    def get(self, key: str) -> Got | None:
        def effect() -> Got | None:
            found = self.objects.get(key)
            return Got(found.body, found.etag) if found else None

        return self._call("get", key, effect)

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        def effect() -> bytes:
            return self._range(key, offset, length)

        return self._call("get_range", key, effect, lambda: _flipped(effect()))

    @contextmanager
    def open_range(self, key: str, offset: int, length: int) -> Iterator[io.BytesIO]:
        def effect() -> bytes:
            return self._range(key, offset, length)

        yield io.BytesIO(self._call("open_range", key, effect, lambda: _flipped(effect())))

    def head(self, key: str) -> Head | None:
        def effect() -> Head | None:
            found = self.objects.get(key)
            return Head(len(found.body), found.etag, found.crc if self._keeps_crc else None) if found else None

        return self._call("head", key, effect)

    def list(self, prefix: str) -> Iterator[str]:
        return iter(self._call("list", prefix, lambda: sorted(key for key in self.objects if key.startswith(prefix))))

    def create_multipart(self, key: str) -> str:
        def effect() -> str:
            self._begun += 1
            self.uploads[f"upload-{self._begun}"] = StoredUpload(key)
            return f"upload-{self._begun}"

        return self._call("create_multipart", key, effect)

    def put_part(self, key: str, upload_id: str, number: int, body: bytes | memoryview, crc: int) -> str:
        arriving = bytes(body)

        def effect(body: bytes) -> str:
            upload = self._upload(key, upload_id)
            _check_crc(key, body, crc)
            if not 1 <= number <= 10_000:
                raise StoreError(f"writing part {number} of {key}", "400: part numbers go from 1 to 10,000")
            upload.parts[number] = _stored(body)
            return upload.parts[number].etag

        return self._call("put_part", key, lambda: effect(arriving), lambda: effect(_flipped(arriving)))

    def copy_part(self, key: str, upload_id: str, number: int, source: Source) -> str:
        def effect() -> str:
            upload = self._upload(key, upload_id)
            found = self.objects.get(source.key)
            if found is None:
                raise NotFoundError(f"copying {source.key}", "no such object")
            if found.etag != source.etag:
                raise PreconditionFailed(f"copying {source.key}", "412: it is not the one named")
            body = found.body[source.offset : source.offset + source.length]
            if len(body) != source.length:
                raise StoreError(f"copying {source.key}", "400 InvalidRange")
            upload.parts[number] = _stored(body)
            return upload.parts[number].etag

        return self._call("copy_part", key, effect)

    def list_parts(self, key: str, upload_id: str) -> Sequence[SentPart]:
        def effect() -> Sequence[SentPart]:
            parts = sorted(self._upload(key, upload_id).parts.items())
            return [SentPart(number, len(part.body), part.etag) for number, part in parts]

        return self._call("list_parts", key, effect)

    def complete_multipart(self, key: str, upload_id: str, parts: Sequence[SentPart], crc: int) -> str:
        def effect() -> str:
            upload = self._upload(key, upload_id)
            body = b"".join(_named(upload, key, part).body for part in parts)
            if not parts or [part.number for part in parts] != sorted({part.number for part in parts}):
                raise StoreError(f"completing {key}", "400 InvalidPartOrder")
            if any(part.size < self._smallest_part for part in parts[:-1]):
                raise StoreRefused(f"completing {key}", "400 EntityTooSmall")
            if len(body) != sum(part.size for part in parts):
                raise BadChecksum(f"completing {key}", "400 InvalidRequest: x-amz-mp-object-size")
            _check_crc(key, body, crc)
            self.objects[key] = _stored(body, tail=f"-{len(parts)}")
            del self.uploads[upload_id]
            return self.objects[key].etag

        return self._call("complete_multipart", key, effect)

    def abort_multipart(self, key: str, upload_id: str) -> None:
        self._call("abort_multipart", key, lambda: self.uploads.pop(upload_id, None))

    def delete(self, key: str) -> None:
        self._call("delete", key, lambda: self.objects.pop(key, None))

    # --- inside ---

    def _range(self, key: str, offset: int, length: int) -> bytes:
        if key not in self.objects:
            raise NotFoundError(f"reading {key}", "no such object")
        body = self.objects[key].body[offset : offset + length]
        if len(body) != length:
            raise StoreUnavailable(f"reading {key}", f"{len(body)} of {length} bytes")
        return body

    def _upload(self, key: str, upload_id: str) -> StoredUpload:
        upload = self.uploads.get(upload_id)
        if upload is None or upload.key != key:
            raise NoSuchUpload(f"the upload {upload_id} of {key}", "404 NoSuchUpload")
        return upload

    def _add(self, what: _What, method: str, times: int, skip: int, key: str, error: StoreError | None = None) -> None:
        if not hasattr(self, method):
            raise ValueError(f"the port has no {method}")
        lost = StoreUnavailable("the store did not answer", what.value, "nothing to do: it is tried again")
        self._faults.append(_Fault(method, what, times, skip, key, error or lost))

    def _call(self, method: str, key: str, effect: Callable[[], R], corrupted: Callable[[], R] | None = None) -> R:
        self.on_call(method, key)
        with self._lock:
            self.calls.append((method, key))
            fault = self._fault(method, key)
            if fault is None:
                return effect()
            if fault.what is _What.CORRUPT and corrupted is not None:
                return corrupted()
            if fault.what is _What.LOSE:
                with suppress(StoreError):
                    effect()
            if fault.what is _What.DELAY:
                self._late.append(effect)
            raise fault.error

    def _fault(self, method: str, key: str) -> _Fault | None:
        for fault in self._faults:
            if fault.method == method and fault.key in key:
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                if not fault.times:
                    self._faults.remove(fault)
                return fault
        return None


def _named(upload: StoredUpload, key: str, part: SentPart) -> StoredObject:
    stored = upload.parts.get(part.number)
    if stored is None or stored.etag != part.etag:
        raise StoreError(f"completing {key}", "400 InvalidPart")
    return stored


def _check_crc(key: str, body: bytes, crc: int | None) -> None:
    if crc is not None and zlib.crc32(body) != crc:
        raise BadChecksum(f"writing {key}", "400 BadDigest: the CRC-32 is not that of the body")


def _stored(body: bytes, tail: str = "") -> StoredObject:
    # As S3's: equal bytes have equal etags, whoever wrote them.
    return StoredObject(body, f'"{hashlib.md5(body).hexdigest()}{tail}"', zlib.crc32(body))


def _flipped(body: bytes) -> bytes:
    return bytes([body[0] ^ 1]) + body[1:] if body else b"\0"
