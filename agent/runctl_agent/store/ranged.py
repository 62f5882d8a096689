"""The body of a ranged GET while it arrives."""

from __future__ import annotations

from typing import Protocol

from runctl_agent.errors import StoreUnavailable

from .bandwidth import Limiter
from .refusals import FOREIGN, Call, translated


class Stream(Protocol):
    def readinto(self, buffer: memoryview, /) -> int: ...


class RangedBody:
    """`length` bytes of `stream`; whoever opened the stream closes it. Each piece waits for the `limiter`, if there is one."""

    def __init__(self, stream: Stream, length: int, call: Call, limiter: Limiter | None = None) -> None:
        self._limiter = limiter
        self._stream = stream
        self._length = length
        self._left = length
        self._call = call

    def readinto(self, buffer: memoryview, /) -> int:
        room = buffer[: self._left]
        try:
            count = self._stream.readinto(room)
        except FOREIGN as error:
            raise translated(error, self._call) from error
        if self._limiter is not None:
            self._limiter.take(count)
        self._left -= count
        if not count and room:
            raise short(self._call, f"{self._length - self._left} bytes came instead of {self._length}")
        return count

    def whole(self) -> bytes:
        """All that is left."""
        found = bytearray(self._left)
        with memoryview(found) as room:
            while self._left:
                self.readinto(room[len(room) - self._left :])
        return bytes(found)


def short(call: Call, why: str) -> StoreUnavailable:
    return StoreUnavailable(call.what, why, "nothing to do: it is tried again")
