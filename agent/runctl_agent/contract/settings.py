"""A walk over one mapping of settings that finds every mistake, each with its path, instead of stopping at the first."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from .document import Reader, Wrong, show

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Mistake:
    """`path` is like `training.grace` or `checkpoints[0].path`; `nearest` is the key that an `unknown` one may have meant."""

    path: str
    reason: str
    unknown: bool = False
    nearest: str = ""

    def __str__(self) -> str:
        text = f"{self.path}: {self.reason}" if self.path else self.reason
        return f"{text}; the nearest is `{self.nearest}`" if self.nearest else text


class Settings:
    """One mapping; a wrong or missing value is noted in `mistakes`, and its default stands in."""

    def __init__(self, value: object, path: str, mistakes: list[Mistake]) -> None:
        self.path = path
        self.mistakes = mistakes
        self._asked: list[str] = []
        self._value: Mapping[object, object] = value if isinstance(value, Mapping) else {}
        self._whole = isinstance(value, Mapping)
        if not self._whole:
            self.note("", f"expected a mapping of settings, not {show(value)}")

    def note(self, key: str, reason: str) -> None:
        self.mistakes.append(Mistake(self._at(key), reason))

    def need(self, key: str, read: Reader[T], stand_in: T) -> T:
        self._require(key)
        return self.take(key, read, stand_in)

    def take(self, key: str, read: Reader[T], default: T) -> T:
        self._asked.append(key)
        if key not in self._value:
            return default
        try:
            return read(self._value[key])
        except Wrong as wrong:
            self.mistakes.append(Mistake(str(wrong.below(self._at(key)).path), wrong.reason))
            return default

    def section(self, key: str) -> Settings:
        """The mapping under `key`; absent, or with nothing in it, it is empty."""
        self._asked.append(key)
        value = self._value.get(key)
        return Settings({} if value is None else value, self._at(key), self.mistakes)

    def sections(self, key: str) -> list[Settings]:
        """The mappings in the list under `key`, of which there must be at least one."""
        self._asked.append(key)
        self._require(key)
        if key not in self._value:
            return []
        value = self._value[key]
        if not isinstance(value, list | tuple) or not value:
            self.note(key, f"expected a list of one or more mappings, not {'an empty list' if value == [] else show(value)}")
            return []
        return [Settings(item, f"{self._at(key)}[{place}]", self.mistakes) for place, item in enumerate(value)]

    def finish(self, elsewhere: tuple[str, ...] = ()) -> None:
        """Note every key that was not asked for; `elsewhere` has the paths of all known settings."""
        for key in self._value:
            if key not in self._asked:
                name = key if isinstance(key, str) else show(key)
                self.mistakes.append(Mistake(self._at(name), "unknown key", True, self._nearest(name, elsewhere)))

    def _require(self, key: str) -> None:
        if self._whole and key not in self._value:
            self.note(key, "missing, and required")

    def _nearest(self, name: str, elsewhere: tuple[str, ...]) -> str:
        """Where a setting of that very name lives; else the likeliest misspelling, here before elsewhere."""
        homes = {path.rpartition(".")[2]: path for path in reversed(elsewhere)}
        if name in homes:
            return homes[name]
        for names, cutoff in ((self._asked, 0.6), (homes, 0.6), (self._asked, 0.0)):
            if close := difflib.get_close_matches(name[:64], names, n=1, cutoff=cutoff):
                return homes[close[0]] if names is homes else self._at(close[0])
        return ""

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path and key else self.path or key
