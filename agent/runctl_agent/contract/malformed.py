"""What a total decoder answers when the input is not what it should be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Malformed:
    """The input could not be decoded; `reason` says why in one line. Always falsy, so that it can't pass for a value."""

    reason: str

    def __bool__(self) -> bool:
        return False
