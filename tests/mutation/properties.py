"""Tests by Hypothesis: always the same examples, as many as are asked for, after the tests that need only one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

_SETTINGS = "_hypothesis_internal_use_settings"
FEW = 20


def few_examples() -> None:
    """For what does not say how many it wants; and no time is spent on the smallest example that fails."""
    settings.register_profile(
        "mutation",
        database=None,
        derandomize=True,
        deadline=None,
        max_examples=FEW,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("mutation")


class Properties:
    def __init__(self, items: Sequence[pytest.Item]) -> None:
        places = [(item, place) for item in items if (place := _place(item)) is not None]
        self._of = {item.nodeid for item, _ in places}
        self._places = {(id(owner), name): (owner, name, getattr(owner, name)) for _, (owner, name) in places}

    def limit(self, examples: int) -> None:
        for owner, name, given in self._places.values():
            most = examples if given.max_examples == FEW else min(given.max_examples, examples)
            setattr(owner, name, settings(given, max_examples=most))

    def last(self, items: Iterable[pytest.Item]) -> list[pytest.Item]:
        return sorted(items, key=lambda item: item.nodeid in self._of)


class Fewer:
    """A plugin: no property is tried with more."""

    def __init__(self, examples: int) -> None:
        self._examples = examples

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        Properties(items).limit(self._examples)


def _place(item: pytest.Item) -> tuple[Any, str] | None:
    """What holds a property's settings, and by which name; None: it is an example."""
    test = getattr(item, "obj", None)
    test = getattr(test, "__func__", test)
    case = getattr(item, "cls", None)
    if isinstance(getattr(case, "settings", None), settings):
        return case, "settings"
    return (test, _SETTINGS) if isinstance(getattr(test, _SETTINGS, None), settings) else None
