"""The body of a ranged GET while it arrives."""

from __future__ import annotations

from typing import Protocol

from runctl_agent.errors import StoreUnavailable

from .refusals import FOREIGN, Call, translated


class Readable(Protocol):
    def read(self, amt: int, /) -> bytes: ...


class RangedBody:
    """`length` bytes of `stream`; whoever opened the stream closes it."""

    def __init__(self, stream: Readable, length: int, call: Call) -> None:
        self._stream = stream
        self._length = length
        self._left = length
        self._call = call

    def read(self, size: int) -> bytes:
        # One call is one bytes object, which the socket fills: botocore's readinto() would copy it once more.
        try:
            data = self._stream.read(min(size, self._left))
        except FOREIGN as error:
            raise translated(error, self._call) from error
        self._left -= len(data)
        if not data and min(size, self._left):
            raise short(self._call, f"{self._length - self._left} bytes came instead of {self._length}")
        return data


def short(call: Call, why: str) -> StoreUnavailable:
    return StoreUnavailable(call.what, why, "nothing to do: it is tried again")
