"""Bytes in memory as botocore takes a request's body, without a copy."""

from __future__ import annotations

import io
import os
from typing import IO, cast

from .bandwidth import Limiter

LUMP = 64 * 1024
"""Bytes that go to the socket in one call. Its timeout is for all of them, and on a new connection it is the one for
connecting (5 s): a whole part at once never got through a slow line."""


class _View(io.RawIOBase):
    """A memoryview to be read. `read` gives LUMP bytes, whatever was asked for: they go to the socket in one call.

    What http.client asks for is 16 KiB, at a pass through three layers of Python each; it sends what it gets.
    """

    def __init__(self, view: memoryview) -> None:
        self._view = view.cast("B")
        self._at = 0

    def __len__(self) -> int:
        return len(self._view)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> memoryview:
        return self._take(0 if size == 0 else LUMP)

    def _take(self, size: int) -> memoryview:
        piece = self._view[self._at : self._at + size]
        self._at += len(piece)
        return piece

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: len(self._view)}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at


class _Paced(_View):
    """Waits for each piece until the limit lets it through."""

    def __init__(self, view: memoryview, limiter: Limiter) -> None:
        super().__init__(view)
        self._limiter = limiter

    def read(self, size: int | None = -1) -> memoryview:
        most = self._limiter.piece
        piece = self._take(most if size is None or size < 0 else min(size, most))
        self._limiter.take(len(piece))
        return piece


def body_of(data: bytes | memoryview, limiter: Limiter | None = None) -> bytes | IO[bytes]:
    if limiter is not None and limiter.limits and len(data):
        return cast("IO[bytes]", _Paced(memoryview(data), limiter))
    if isinstance(data, bytes):
        return data
    if not data.c_contiguous:
        return bytes(data)
    return cast("IO[bytes]", _View(data))
