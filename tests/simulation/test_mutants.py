"""The simulation finds deliberate bugs, those at least that take few schedules; `make simulation` asks for all of them."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import MUTANTS, Mutant, find
from tests.simulation.schedule import schedule_of
from tests.simulation.sweep import tried

FEW = 20


@pytest.mark.parametrize("mutant", [one for one in MUTANTS if one.most <= FEW], ids=lambda mutant: mutant.name)
def test_it_is_found(mutant: Mutant) -> None:
    found = find(mutant)
    assert found.failed is not None
    assert tried(found.failed.schedule) is None, "without the bug every promise holds"


def test_there_are_many_and_each_promise_is_broken_by_some() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 15
    assert {mutant.promise for mutant in MUTANTS} == {0, 1, 2, 3, 4, 5, 6}


def test_without_a_bug_nothing_is_found() -> None:
    assert [seed for seed in range(FEW) if tried(schedule_of(seed)) is not None] == []
