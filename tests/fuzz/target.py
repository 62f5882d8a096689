"""One reader under test: what it is given, what it may raise, how much memory it may take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from runctl_agent.contract.malformed import Malformed

MIB = 2**20

Reading = Callable[[bytes], object]


@dataclass(frozen=True)
class Target:
    """`seeds` are what a well-behaved writer writes. Of memory a reading may take `room`, and `ratio` for each byte given.

    `deepest`: so many levels are nested; fewer where a parser takes seconds for them.
    """

    name: str
    read: Reading
    seeds: Sequence[bytes]
    raises: tuple[type[Exception], ...] = ()
    room: int = MIB
    ratio: int = 128
    deepest: int = 20_000


def there_and_back(decode: Callable[[bytes], Any], encode: Callable[[Any], bytes]) -> Reading:
    """A reading that also holds the value against itself: what was decoded is encoded, and decoded again."""

    def read(body: bytes) -> object:
        value = decode(body)
        if isinstance(value, Malformed):
            return value
        again = decode(encode(value))
        assert again == value, f"{value} becomes {again}"
        return value

    return read


def text_of(body: bytes) -> str:
    """As file names and environments come in: no byte is lost."""
    return body.decode("utf-8", "surrogateescape")
