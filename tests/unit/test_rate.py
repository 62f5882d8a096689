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


def test_the_time_of_sending_is_told_without_the_pauses() -> None:
    found = Rate()
    assert found.busy == 0.0
    found.sample(0.0, 0, pending=True)
    found.sample(10.0, 10 * MIB, pending=False)
    found.sample(30.0, 10 * MIB, pending=False)
    assert found.busy == 10.0


def test_an_even_line_has_no_spread() -> None:
    found = Rate()
    for second in range(0, 30, 5):
        found.sample(float(second), second * MIB, pending=True)
    assert found.spread(MIB) == 0.0


def test_the_spread_is_between_stretches_and_not_between_parts_that_land_in_lumps() -> None:
    lumps, slower = Rate(), Rate()
    for second in range(21):
        lumps.sample(float(second), second // 5 * 10 * MIB, pending=True)
        slower.sample(float(second), (2 * second if second <= 10 else 20) * MIB, pending=True)
    assert lumps.spread(2 * MIB) == 0.0
    assert slower.spread(MIB) == MIB, "two stretches at 2 MiB/s, two at none"


def test_where_too_little_was_seen_the_spread_is_a_quarter_of_the_mean() -> None:
    found = Rate()
    assert found.spread(100.0) == 25.0
    found.sample(0.0, 0, pending=True)
    found.sample(9.0, MIB, pending=True)
    assert found.spread(100.0) == 25.0


def test_an_eta_needs_something_left_that_moves() -> None:
    assert doctest.testmod(rate).failed == 0
