"""Typed reading of plain JSON values: a reader takes any object and gives a value, or raises `Wrong` with the place and reason.

`Wrong` stays inside the contract: every public decoder goes through `total`, which answers with `Malformed` instead.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from .malformed import Malformed

T = TypeVar("T")
A = TypeVar("A")
Reader = Callable[[object], T]

LARGEST = 2**63 - 1
LARGEST_BODY = 64 * 2**20
"""Bytes: a manifest of 200,000 files or parts. What is larger was not written by us, and is not read into memory."""
LAST_SECOND = 253_402_300_799
"""9999-12-31T23:59:59Z, the last that RFC 3339 can write."""


class Wrong(ValueError):
    """A value is not what it should be: `reason`, and the `path` to it once a caller knows it."""

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(reason, path)
        self.reason = reason
        self.path = path

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path else self.reason

    def below(self, place: str) -> Wrong:
        """The same, seen from one level up; `place` is a key, or `[n]`."""
        inner = self.path
        joint = "." if inner and not inner.startswith("[") else ""
        return Wrong(self.reason, place + joint + inner)


def total(decode: Callable[[A], T], given: A) -> T | Malformed:
    """What `decode` gives, or why it can't."""
    try:
        return decode(given)
    except Wrong as wrong:
        return Malformed(str(wrong))
    except RecursionError:
        return Malformed("nested too deeply")


def parse(body: bytes) -> object:
    """The JSON value in `body` (RFC 8259, UTF-8), with duplicate names, NaN and infinities refused."""
    if len(body) > LARGEST_BODY:
        raise Wrong(f"it has more than {LARGEST_BODY} bytes, which no document of this project has")
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_constant)
    except Wrong:
        raise
    except ValueError as error:  # also UnicodeDecodeError, and integers too long for int()
        raise Wrong(f"not JSON: {error}") from None


def encode(plain: Mapping[str, object], check: Callable[[Fields], object]) -> bytes:
    """Canonical compact JSON, in ASCII so that lone surrogates survive. Raises ValueError for what `check` would not read."""
    check(Fields(plain))
    body = json.dumps(plain, ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":")).encode("ascii")
    if len(body) > LARGEST_BODY:
        raise ValueError(f"its document would have {len(body)} bytes, and {LARGEST_BODY} are read")
    return body


def show(value: object) -> str:
    """A value as an error message shows it: short, ASCII, and never failing itself."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > 128:
        return "a huge number"
    if isinstance(value, str | int | float):
        shown = ascii(value[:60] if isinstance(value, str) else value)
        return shown if len(shown) <= 60 else shown[:57] + "..."
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, list | tuple) else f"a {type(value).__name__}"


def text(value: object) -> str:
    if not isinstance(value, str):
        raise Wrong(f"expected text, not {show(value)}")
    return value


def boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise Wrong(f"expected true or false, not {show(value)}")
    return value


def between(low: int, high: int) -> Reader[int]:
    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise Wrong(f"expected a whole number, not {show(value)}")
        if not low <= value <= high:
            bounds = f"from {low} on" if high == LARGEST else f"from {low} to {high}"
            raise Wrong(f"expected a whole number {bounds}, not {show(value)}")
        return value

    return read


count = between(0, LARGEST)
seconds = between(0, LAST_SECOND)


def number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise Wrong(f"expected a number, not {show(value)}")
    if not abs(value) <= LARGEST:  # false for NaN too
        raise Wrong(f"{show(value)} is out of range")
    return float(value)


def instant(value: object) -> float:
    """Seconds since the epoch, with a fraction."""
    at = number(value)
    if not 0 <= at <= LAST_SECOND:
        raise Wrong(f"{show(value)} is not a time in seconds since 1970")
    return at


def ratio(value: object) -> float:
    at = number(value)
    if not 0 <= at <= LARGEST:
        raise Wrong(f"{show(value)} is not a ratio")
    return at


def optional(read: Reader[T]) -> Reader[T | None]:
    return lambda value: None if value is None else read(value)


def array(read: Reader[T]) -> Reader[tuple[T, ...]]:
    def read_all(value: object) -> tuple[T, ...]:
        if not isinstance(value, list | tuple):
            raise Wrong(f"expected a list, not {show(value)}")
        found: list[T] = []
        for place, item in enumerate(value):
            try:
                found.append(read(item))
            except Wrong as wrong:
                raise wrong.below(f"[{place}]") from None
        return tuple(found)

    return read_all


class Fields:
    """The fields of one JSON object; what nobody asks for is ignored."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, Mapping):
            raise Wrong(f"expected an object, not {show(value)}")
        self._value = value

    def __iter__(self) -> Iterator[object]:
        """The keys."""
        return iter(self._value)

    def need(self, key: str, read: Reader[T]) -> T:
        if key not in self._value:
            raise Wrong("missing", key)
        try:
            return read(self._value[key])
        except Wrong as wrong:
            raise wrong.below(key) from None

    def get(self, key: str, read: Reader[T], default: T) -> T:
        return self.need(key, read) if key in self._value else default

    def version(self, known: int) -> None:
        """Refuse a document of a later version than `known`; one without a version is of version 1."""
        version = self.get("version", between(1, LARGEST), 1)
        if version > known:
            raise Wrong(f"version {version} is newer than {known}, the latest that this program knows", "version")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise Wrong(f"the name {show(twice)} stands twice")
    return found


def _constant(name: str) -> float:
    raise Wrong(f"{name} is not a number of JSON")
