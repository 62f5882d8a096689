from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.pace import STRETCH_LIMIT, TAG_RULES, Bucket, Pace, Urgency, local_rules, spread, status_rules

HEARTBEAT, CHANGE, CONDITION, PHASE, LAST = Urgency
START = 1000.0


def tag_pace(place: float = 0.0) -> Pace:
    return Pace(TAG_RULES, START, place)


def call(pace: Pace, at: float) -> None:
    pace.called(at)
    pace.done()


def schedule(pace: Pace, urgency: Urgency, calls: int, now: float = START) -> Iterator[float]:
    """When calls of one urgency go, if each goes as soon as it may; relative to START."""
    for _ in range(calls):
        now = max(now, pace.due(urgency))
        call(pace, now)
        yield now - START


def test_changes_are_coalesced_to_two_a_minute() -> None:
    assert list(schedule(tag_pace(), CHANGE, 5)) == [0, 30, 60, 90, 120]


def test_an_unchanged_state_goes_every_five_minutes() -> None:
    pace = tag_pace()
    call(pace, START)
    assert list(schedule(pace, HEARTBEAT, 4)) == [300, 600, 900, 1200]


def test_heartbeats_lie_where_the_instance_has_its_place() -> None:
    pace = tag_pace(place=0.25)
    call(pace, START)
    assert list(schedule(pace, HEARTBEAT, 3)) == [75, 375, 675]


def test_a_heartbeat_just_after_another_call_is_left_out_but_never_later_than_five_minutes() -> None:
    pace = tag_pace(place=0.25)
    call(pace, START + 60)
    assert list(schedule(pace, HEARTBEAT, 2)) == [360, 660]


def test_phases_go_at_once_whatever_went_before() -> None:
    pace = tag_pace(place=0.9)
    call(pace, START)
    assert pace.due(PHASE) <= START
    assert pace.due(CONDITION) <= START
    assert pace.due(CHANGE) == START + 30


def test_flapping_costs_a_burst_and_then_two_a_minute() -> None:
    assert list(schedule(tag_pace(), PHASE, 11)) == [0] * 8 + [30, 60, 90]
    assert list(schedule(tag_pace(), CONDITION, 10)) == [0] * 7 + [30, 60, 90]


def test_flapping_conditions_leave_room_for_a_phase() -> None:
    pace = tag_pace()
    *_, last = schedule(pace, CONDITION, 20)
    assert pace.due(CONDITION) == START + last + 30
    assert pace.due(PHASE) <= START + last


def test_changes_leave_room_for_conditions() -> None:
    pace = tag_pace()
    *_, last = schedule(pace, CHANGE, 100)
    assert list(schedule(pace, CONDITION, 3, START + last)) == [last, last, last]


@given(st.lists(st.tuples(st.sampled_from([HEARTBEAT, CHANGE, CONDITION, PHASE]), st.floats(0, 100)), max_size=80))
def test_no_schedule_costs_more_than_the_bucket(changes: list[tuple[Urgency, float]]) -> None:
    pace, now, calls = tag_pace(), START, []
    for urgency, later in changes:
        now += later
        if pace.due(urgency) <= now:
            call(pace, now)
            calls.append(now)
    for first in range(len(calls)):
        for last in range(first, len(calls)):
            assert last - first + 1 <= 8 + (calls[last] - calls[first]) / 30 + 1e-6


def test_back_off_is_exponential_with_full_jitter_up_to_two_minutes() -> None:
    pace, now, waits = tag_pace(), START, []
    for _ in range(10):
        pace.called(now)
        pace.failed(now, roll=0.5)
        waits.append(pace.due(LAST) - now)
        now += waits[-1]
    assert waits == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    pace.called(now)
    pace.failed(now, roll=0.0)
    assert pace.due(LAST) == now


def test_failing_calls_cost_tokens_too() -> None:
    pace, now = tag_pace(), START
    for _ in range(8):
        pace.called(now)
        pace.failed(now, roll=0.0)
    assert pace.due(PHASE) == START + 30
    assert pace.due(LAST) <= START


def test_what_is_refused_is_tried_again_more_slowly() -> None:
    pace, waits = tag_pace(), []
    for _ in range(7):
        pace.called(START)
        pace.refused(START, roll=1.0)
        waits.append(pace.due(LAST) - START)
    assert waits == [15, 30, 60, 120, 240, 300, 300]


def test_a_new_phase_is_tried_at_once_in_the_middle_of_a_back_off() -> None:
    pace = tag_pace()
    pace.called(START)
    for _ in range(9):
        pace.failed(START, roll=0.9)
    assert pace.due(PHASE) > START + 100
    pace.hasten(START + 10)
    assert pace.due(PHASE) == START + 10
    pace.called(START + 10)
    pace.failed(START + 10, roll=0.5)
    assert pace.due(PHASE) == START + 10.5


def test_throttling_stretches_what_can_wait_and_answers_shrink_it_again() -> None:
    pace = tag_pace(place=0.5)
    pace.called(START)
    pace.throttled(START, roll=0.5)
    assert pace.stretch == 2
    assert pace.due(HEARTBEAT) == START + 600
    assert pace.due(CHANGE) == START + 60
    assert pace.due(PHASE) == START + 0.5
    pace.throttled(START, roll=0.5)
    assert pace.stretch == 2  # once for each spell
    for _ in range(5):
        pace.called(START + 10)
        pace.done()
    assert pace.stretch == 1
    assert pace.due(HEARTBEAT) == START + 150


def test_the_stretch_is_bounded() -> None:
    pace = tag_pace()
    pace.called(START)
    for _ in range(40):
        pace.done()
        pace.throttled(START, roll=0.0)
    assert pace.stretch == STRETCH_LIMIT
    assert pace.due(HEARTBEAT) == START + 3600


@pytest.mark.parametrize("heartbeat", [1.0, 60.0, 600.0])
@pytest.mark.parametrize("place", [0.0, 0.3, 0.99])
def test_status_json_is_never_older_than_a_heartbeat(heartbeat: float, place: float) -> None:
    pace = Pace(status_rules(heartbeat), START, place)
    times = [*schedule(pace, CHANGE, 1), *schedule(pace, HEARTBEAT, 20)]
    assert all(0 <= later - earlier <= heartbeat * 1.000001 for earlier, later in pairwise(times))


def test_status_json_waits_for_the_heartbeat_unless_it_is_urgent() -> None:
    pace = Pace(status_rules(60.0), START, 0.0)
    call(pace, START)
    assert pace.due(CHANGE) == START + 60
    assert pace.due(CONDITION) <= START
    assert list(schedule(pace, CONDITION, 7)) == [0, 0, 0, 0, 10, 20, 30]


def test_a_slow_store_does_not_stretch_the_heartbeat() -> None:
    pace = Pace(status_rules(60.0), START, 0.0)
    pace.called(START)
    pace.throttled(START, roll=0.5)
    assert pace.stretch == 1


def test_the_local_file_follows_within_a_second() -> None:
    assert list(schedule(Pace(local_rules(60.0), START, 0.5), CHANGE, 4)) == [0, 1, 2, 3]


def test_the_local_file_is_tried_again_within_a_heartbeat_however_long_it_has_failed() -> None:
    """What stands in the way is of this machine, and to try costs nothing: there is nobody to spare."""
    pace, now = Pace(local_rules(60.0), START, 0.0), START
    for _ in range(20):
        pace.called(now)
        pace.failed(now, 1.0)
        assert pace.due(CHANGE) <= now + 10.0
        now += 60.0


def test_a_bucket_may_be_overdrawn_and_pays_back_first() -> None:
    bucket = Bucket(2, 10.0, 0.0)
    for _ in range(3):
        bucket.take(0.0)
    assert bucket.time_of(1) == 20.0
    assert bucket.time_of(-1) == 0.0


def test_a_fleet_is_spread_evenly() -> None:
    tenths = [0] * 10
    for n in range(2000):
        tenths[int(spread(f"i-{n:017x}") * 10)] += 1
    assert min(tenths) > 150
    assert max(tenths) < 250
    assert spread("i-0123456789abcdef0") == spread("i-0123456789abcdef0")
