"""Object stores around another one, for what `MemoryStore` does not break itself; named for their fault."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from runctl_agent.store.objects import Body, Got, Head, ObjectStore, SentPart, Source


class Wrapped:
    """Passes everything on."""

    def __init__(self, inner: ObjectStore) -> None:
        self.inner = inner

    def put(
        self, key: str, body: bytes | memoryview, *, crc: int | None = None, if_absent: bool = False, if_match: str | None = None
    ) -> str:
        return self.inner.put(key, body, crc=crc, if_absent=if_absent, if_match=if_match)

    def get(self, key: str) -> Got | None:
        return self.inner.get(key)

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        return self.inner.get_range(key, offset, length)

    def open_range(self, key: str, offset: int, length: int) -> AbstractContextManager[Body]:
        return self.inner.open_range(key, offset, length)

    def head(self, key: str) -> Head | None:
        return self.inner.head(key)

    def list(self, prefix: str) -> Iterator[str]:
        return self.inner.list(prefix)

    def create_multipart(self, key: str) -> str:
        return self.inner.create_multipart(key)

    def put_part(self, key: str, upload_id: str, number: int, body: bytes | memoryview, crc: int) -> str:
        return self.inner.put_part(key, upload_id, number, body, crc)

    def copy_part(self, key: str, upload_id: str, number: int, source: Source) -> str:
        return self.inner.copy_part(key, upload_id, number, source)

    def list_parts(self, key: str, upload_id: str) -> Sequence[SentPart]:
        return self.inner.list_parts(key, upload_id)

    def complete_multipart(self, key: str, upload_id: str, parts: Sequence[SentPart], crc: int) -> str:
        return self.inner.complete_multipart(key, upload_id, parts, crc)

    def abort_multipart(self, key: str, upload_id: str) -> None:
        self.inner.abort_multipart(key, upload_id)

    def delete(self, key: str) -> None:
        self.inner.delete(key)


class Killed(BaseException):
    """The process is gone; nothing catches it."""


class DiesBeforePut(Wrapped):
    """The process is killed just before it would write `key`."""

    def __init__(self, inner: ObjectStore, key: str) -> None:
        super().__init__(inner)
        self.key = key

    def put(
        self, key: str, body: bytes | memoryview, *, crc: int | None = None, if_absent: bool = False, if_match: str | None = None
    ) -> str:
        if key == self.key:
            raise Killed
        return super().put(key, body, crc=crc, if_absent=if_absent, if_match=if_match)


class IgnoresConditions(Wrapped):
    """An S3 of old, which accepts every write. `if_match_only`: it knows If-None-Match."""

    def __init__(self, inner: ObjectStore, *, if_match_only: bool = False) -> None:
        super().__init__(inner)
        self.if_match_only = if_match_only

    def put(
        self, key: str, body: bytes | memoryview, *, crc: int | None = None, if_absent: bool = False, if_match: str | None = None
    ) -> str:
        return super().put(key, body, crc=crc, if_absent=if_absent and self.if_match_only)


class SomebodyElseFirst(Wrapped):
    """Just before the first write of `key`, another writer does `meanwhile`."""

    def __init__(self, inner: ObjectStore, key: str, meanwhile: Callable[[], object]) -> None:
        super().__init__(inner)
        self.key = key
        self.meanwhile: Callable[[], object] | None = meanwhile

    def put(
        self, key: str, body: bytes | memoryview, *, crc: int | None = None, if_absent: bool = False, if_match: str | None = None
    ) -> str:
        if key == self.key and self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        return super().put(key, body, crc=crc, if_absent=if_absent, if_match=if_match)


class CountsBytes(Wrapped):
    """`opened` has the ranges asked for, `read` the bytes that were taken of them; `reading` runs before each is taken."""

    def __init__(self, inner: ObjectStore, reading: Callable[[int], object] = lambda read: None) -> None:
        super().__init__(inner)
        self.opened: list[tuple[str, int, int]] = []
        self.read = 0
        self.reading = reading
        self._lock = threading.Lock()

    @property
    def asked(self) -> int:
        return sum(length for _, _, length in self.opened)

    @contextmanager
    def open_range(self, key: str, offset: int, length: int) -> Iterator[Body]:
        self.opened.append((key, offset, length))
        with self.inner.open_range(key, offset, length) as body:
            yield _Counted(body, self._count)

    def _count(self, count: int) -> None:
        with self._lock:
            self.reading(self.read)
            self.read += count


class _Counted:
    def __init__(self, body: Body, count: Callable[[int], None]) -> None:
        self._body = body
        self._count = count

    def readinto(self, buffer: memoryview, /) -> int:
        count = self._body.readinto(buffer)
        self._count(count)
        return count
