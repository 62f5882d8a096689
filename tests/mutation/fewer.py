"""pytest -p tests.mutation.fewer: each property by few examples, always the same, where only what is gone through is asked."""

from __future__ import annotations

import pytest

from .properties import FEW, Properties, few_examples

few_examples()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    Properties(items).limit(FEW)
