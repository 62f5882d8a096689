"""How fast, over the last minute of sending."""

from __future__ import annotations

import doctest

from runctl_agent import rate
from runctl_agent.rate import Rate

MIB = 2**20


def test_parts_count_as_they_land() -> None:
    found = Rate()
    seen = [found.sample(float(second), second * 5 * MIB, pending=True) for second in range(5)]
    assert seen == [0] + [5 * MIB] * 4


def test_the_time_before_there_was_something_to_send_does_not_count() -> None:
    found = Rate()
    for second in range(55):
        assert found.sample(float(second), 0, pending=False) == 0
    assert found.sample(55.0, 0, pending=True) == 0
    assert found.sample(57.0, 20 * MIB, pending=True) == 20 * MIB // 3, "it came at some time in the second before"


def test_what_was_sent_between_two_looks_counts_with_the_time_between_them() -> None:
    found = Rate()
    found.sample(0.0, 0, pending=False)
    assert found.sample(1.0, 7 * MIB, pending=False) == 7 * MIB
    assert found.sample(30.0, 7 * MIB, pending=False) == 7 * MIB


def test_only_the_last_minute_counts() -> None:
    found = Rate()
    for second in range(100):
        found.sample(float(second), second * MIB, pending=True)
    for second in range(100, 159):
        last = found.sample(float(second), 99 * MIB, pending=True)
        assert 0 < last < MIB
    assert found.sample(160.0, 99 * MIB, pending=True) == 0


def test_a_stop_of_everything_loses_no_bytes() -> None:
    found = Rate()
    found.sample(0.0, 0, pending=True)
    found.sample(1.0, MIB, pending=True)
    assert found.sample(601.0, 601 * MIB, pending=True) == MIB


def test_an_eta_needs_something_left_that_moves() -> None:
    assert doctest.testmod(rate).failed == 0
