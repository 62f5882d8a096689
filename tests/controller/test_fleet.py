"""Which instance of a run is its newest, where EC2's whole seconds can't tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from runctl.ec2 import Ec2
from runctl.fleet import Fleet, newest
from tests.controller.described import LAUNCHED, described


class TwoOfOneSecond:
    """An EC2 that shows what it is given, in that order."""

    def __init__(self, *instances: dict[str, Any]) -> None:
        self._instances = instances

    def instances(self, filters: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
        return list(self._instances)


def instance(number: int, power: str, *, after: int = 0) -> dict[str, Any]:
    return described(instance=f"i-0000000000000000{number}", power=power, launched=LAUNCHED + after)


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
@pytest.mark.parametrize("ended", ["terminated", "shutting-down"])
def test_of_two_launched_in_the_same_second_the_living_one_is_the_newest(before: int, after: int, ended: str) -> None:
    """`resume` right after `terminate`: LaunchTime is the same, and ids are random."""
    for found in ([before, after], [after, before]):
        shown = [instance(one, ended if one == before else "pending") for one in found]
        fleet = Fleet(cast(Ec2, TwoOfOneSecond(*shown)))
        machines = fleet.of("gpt2")
        assert machines == fleet.all()
        assert [machine.id[-1] for machine in machines] == [str(after), str(before)]
        assert newest(machines) == machines[0]


def test_the_newest_launch_comes_first_whether_it_lives_or_not() -> None:
    fleet = Fleet(cast(Ec2, TwoOfOneSecond(instance(1, "running"), instance(2, "terminated", after=1))))
    assert [machine.id[-1] for machine in fleet.all()] == ["2", "1"]
