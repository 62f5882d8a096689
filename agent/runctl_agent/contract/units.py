"""Readers of durations, sizes, rates and shares, with their units."""

from __future__ import annotations

import re

from .document import Wrong, number, show

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_BYTES = {"B": 1} | {
    prefix + unit: base**power
    for unit, base, prefixes in (("B", 1000, ("k", "M", "G", "T")), ("iB", 1024, ("K", "M", "G", "T")), ("B", 1000, ("K",)))
    for power, prefix in enumerate(prefixes, start=1)
}
_AMOUNT = r"([0-9]+(?:\.[0-9]+)?) ?"
_DURATION = re.compile(rf"{_AMOUNT}(ms|s|min|m|h|d) ?")
_SIZE = re.compile(rf"{_AMOUNT}({'|'.join(_BYTES)})")
_SHARE = re.compile(rf"{_AMOUNT}%")
_LONGEST = 100 * 365 * 86_400

DURATION = "a duration such as 500ms, 2s, 30m or 1h30m, or a number of seconds"
SIZE = "a size such as 200MB or 8MiB, or a number of bytes"
SHARE = "a percentage such as 10%, a fraction below 1, or a size such as 50GiB"


def duration(value: object) -> float:
    """Seconds."""
    if isinstance(value, str):
        found = _DURATION.findall(value)
        if not found or _DURATION.sub("", value):
            raise Wrong(f"expected {DURATION}, not {show(value)}")
        value = round(sum(float(amount) * _SECONDS[unit] for amount, unit in found), 6)
    return _bounded(value, DURATION, _LONGEST)


def some_duration(value: object) -> float:
    """Seconds, more than none."""
    given = duration(value)
    if given == 0:
        raise Wrong(f"expected {DURATION}, above 0")
    return given


def size(value: object) -> int:
    """Bytes."""
    if isinstance(value, str):
        found = _SIZE.fullmatch(value)
        if found is None:
            raise Wrong(f"expected {SIZE}, not {show(value)}")
        value = float(found[1]) * _BYTES[found[2]]
    return int(_bounded(value, SIZE, 2**60))


def rate(value: object) -> int:
    """Bytes per second; the unit may end in `/s`."""
    return size(value.removesuffix("/s") if isinstance(value, str) else value)


def share(value: object) -> float:
    """A share of a file system: a fraction below 1, or bytes."""
    if isinstance(value, str) and (found := _SHARE.fullmatch(value)):
        percent = float(found[1])
        if percent >= 100:
            raise Wrong(f"expected a percentage below 100%, not {show(value)}")
        return percent / 100
    if isinstance(value, str) and not _SIZE.fullmatch(value):
        raise Wrong(f"expected {SHARE}, not {show(value)}")
    return _bounded(size(value) if isinstance(value, str) else value, SHARE, 2**60)


def _bounded(value: object, expected: str, most: float) -> float:
    try:
        given = number(value)
    except Wrong:
        raise Wrong(f"expected {expected}, not {show(value)}") from None
    if not 0 <= given <= most:
        raise Wrong(f"expected {expected}, from 0 to {most:,}, not {show(value)}")
    return given
