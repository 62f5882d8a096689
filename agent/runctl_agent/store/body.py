"""Bytes in memory as botocore takes a request's body, without a copy."""

from __future__ import annotations

import io
import os
from typing import IO, cast

from .bandwidth import Limiter

PIECE = 16 * 1024
"""Bytes that are let through at once where a limit is set."""


class _View(io.RawIOBase):
    """A memoryview to be read: `read` gives slices of it."""

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
        end = len(self._view) if size is None or size < 0 else self._at + size
        piece = self._view[self._at : end]
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
        piece = super().read(PIECE if size is None or size < 0 else min(size, PIECE))
        self._limiter.take(len(piece))
        return piece


def body_of(data: bytes | memoryview, limiter: Limiter | None = None) -> bytes | IO[bytes]:
    """Quickest is a view of a whole bytes or bytearray: it goes to the socket in one call, any other in pieces of 16 KiB."""
    if limiter is not None and limiter.limits and len(data):
        return cast("IO[bytes]", _Paced(memoryview(data), limiter))
    if isinstance(data, bytes):
        return data
    if not data.c_contiguous:
        return bytes(data)
    owner = data.obj
    if isinstance(owner, bytes | bytearray) and data.nbytes == len(owner):
        return cast("bytes", owner)  # botocore takes a bytearray as well, its stubs don't
    return cast("IO[bytes]", _View(data))
