"""The waits between tries."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.store.backoff import backoff


def test_the_exact_schedule_doubles_up_to_a_minute() -> None:
    assert [backoff(attempt, 1.0) for attempt in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_what_retrying_can_not_mend_is_tried_more_slowly() -> None:
    assert [backoff(attempt, 1.0, permanent=True) for attempt in range(1, 8)] == [30, 60, 120, 240, 480, 600, 600]


@given(st.integers(0, 10**9), st.floats(0, 1, exclude_max=True), st.booleans())
def test_the_jitter_is_full_and_the_cap_holds(attempt: int, roll: float, permanent: bool) -> None:
    assert 0 <= backoff(attempt, roll, permanent=permanent) <= backoff(attempt, 1.0, permanent=permanent) <= 600
    assert backoff(attempt, 0.0, permanent=permanent) == 0
