"""What can still be saved before the machine is gone: properties, by the thousand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from runctl_agent.training.deadline import MARGIN, SLACK, Pending, Situation, choose, newest_of, plan, ranked, seconds

NOW = 1_700_000_000.0
MB = 10**6
RATE = 100e6
THOUSANDS = settings(max_examples=1000, deadline=None)


@st.composite
def pendings(draw: st.DrawFn) -> tuple[Pending, ...]:
    sizes = draw(st.lists(st.integers(0, 20_000 * MB), max_size=6))
    steps = draw(st.permutations(range(len(sizes))))
    sending = draw(st.none() | st.integers(0, len(sizes)))
    return tuple(
        Pending(n, size, (step,), draw(st.booleans()), draw(st.booleans()), n == sending)
        for n, (size, step) in enumerate(zip(sizes, steps, strict=True))
    )


situations = st.builds(
    Situation,
    now=st.just(NOW),
    at=st.floats(NOW - 100, NOW + 3600),
    pending=pendings(),
    rate=st.none() | st.floats(1e5, 1e10),
    spread=st.floats(0, 1e9),
    overhead=st.floats(0, 10),
    alive=st.booleans(),
    saves_on_signal=st.booleans(),
    save_seconds=st.none() | st.floats(0, 300),
    save_bytes=st.none() | st.integers(0, 20_000 * MB),
    grace=st.floats(0, 600),
)


def named(situation: Situation, ids: Sequence[int]) -> list[Pending]:
    by_id = {one.id: one for one in situation.pending}
    return [by_id[one] for one in ids]


def took(situation: Situation, ids: Sequence[int]) -> float:
    return sum(seconds(situation, one.bytes) for one in named(situation, ids))


@THOUSANDS
@given(situations)
def test_it_never_plans_past_the_end(situation: Situation) -> None:
    found = plan(situation)
    assert not found.send or situation.now + took(situation, found.send) <= situation.at - MARGIN + 1e-6
    assert situation.now <= found.signal_at <= found.end_at
    assert found.end_at <= max(situation.now, situation.at - MARGIN)
    if found.save and situation.save_bytes is not None and situation.save_seconds is not None:
        sent = seconds(situation, situation.save_bytes)
        assert found.signal_at + situation.save_seconds + sent <= situation.at - MARGIN + 1e-6


@THOUSANDS
@given(situations)
def test_everything_pending_is_either_sent_or_given_up(situation: Situation) -> None:
    found = plan(situation)
    assert sorted((*found.send, *found.give_up)) == sorted(one.id for one in situation.pending)


@THOUSANDS
@given(situations)
def test_nothing_is_given_up_that_fits_beside_what_is_sent(situation: Situation) -> None:
    found = plan(situation)
    left = situation.at - MARGIN - situation.now - took(situation, found.send)
    assert all(seconds(situation, one.bytes) > left - 1e-6 for one in named(situation, found.give_up))


@THOUSANDS
@given(situations)
def test_the_worthiest_that_can_finish_at_all_is_sent(situation: Situation) -> None:
    """Alone it would be committed in time; so it is, whatever else is pending."""
    horizon = situation.at - MARGIN
    feasible = [one for one in ranked(situation.pending) if situation.now + seconds(situation, one.bytes) <= horizon]
    assert newest_of(choose(situation)) == next(iter(feasible), None)


@THOUSANDS
@given(situations)
def test_what_is_being_sent_and_fits_is_turned_away_from_only_for_something_worthier_that_fits(situation: Situation) -> None:
    found = plan(situation)
    sending = [one for one in situation.pending if one.sending]
    assume(sending)
    if sending[0].id in found.send:
        assert found.send[0] == sending[0].id
    elif situation.now + seconds(situation, sending[0].bytes) <= situation.at - MARGIN:
        order = ranked(situation.pending)
        worthier = order[: order.index(sending[0])]
        assert any(one.id in found.send for one in worthier)


@THOUSANDS
@given(situations)
def test_no_set_that_could_be_sent_is_worth_more(situation: Situation) -> None:
    """Never worse than committing at once what is complete, nor than any other choice: by the worthiest, then the next."""
    found = plan(situation)
    order = ranked(situation.pending)
    horizon = situation.at - MARGIN

    def worth(ids: Sequence[int]) -> list[bool]:
        return [one.id in ids for one in order]

    for size in range(len(order) + 1):
        for some in combinations(order, size):
            ids = [one.id for one in some]
            if situation.now + took(situation, ids) <= horizon:
                assert worth(found.send) >= worth(ids)


@THOUSANDS
@given(situations)
def test_a_last_checkpoint_never_costs_one_that_stands(situation: Situation) -> None:
    found = plan(replace(situation, alive=True, saves_on_signal=True))
    newest = newest_of(named(situation, found.send))
    if found.save and newest is not None and situation.save_bytes is not None:
        there = situation.now + seconds(situation, newest.bytes)
        assert there + seconds(situation, situation.save_bytes) <= situation.at - MARGIN + 1e-6


@THOUSANDS
@given(situations)
def test_training_goes_on_as_long_as_that_loses_nothing(situation: Situation) -> None:
    """Without a last checkpoint to wait for, to the last seconds; with one, as long as it can be made and sent."""
    found = plan(situation)
    if not found.save:
        last = max(situation.now, situation.at - MARGIN - 1.0 - 5.0)
        assert found.signal_at >= last - 1e-6
    elif situation.save_bytes is not None and situation.save_seconds is not None:
        sent = seconds(situation, situation.save_bytes)
        last = situation.at - MARGIN - max(sent + situation.save_seconds + SLACK, 6.0)
        assert found.signal_at >= last - 1e-6


def of(*sizes: int, sending: int | None = None, **others: object) -> Situation:
    """The first is the oldest; a hundred seconds at 100 MB/s, no overhead."""
    pending = tuple(Pending(n, size * MB, (n,), sending=n == sending) for n, size in enumerate(sizes))
    return replace(Situation(NOW, NOW + 100 + MARGIN, pending, RATE, overhead=0.0), **others)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("situation", "send", "give_up"),
    [
        (of(), (), ()),
        (of(1000, 2000), (1, 0), ()),
        # The newest can't finish: it does not keep what can from being sent.
        (of(9000, 20_000), (0,), (1,)),
        (of(9000, 20_000, sending=0), (0,), (1,)),
        (of(9000, 20_000, sending=1), (0,), (1,)),
        # Both would fit alone, not together: the newer.
        (of(6000, 6000), (1,), (0,)),
        (of(6000, 6000, sending=0), (1,), (0,)),
        # All of them fit: what is under way is finished first.
        (of(1000, 2000, 3000, sending=0), (0, 2, 1), ()),
        # Room that the newest leaves is used.
        (of(500, 6000, 9000), (2, 0), (1,)),
    ],
)
def test_choices(situation: Situation, send: tuple[int, ...], give_up: tuple[int, ...]) -> None:
    found = plan(situation)
    assert (found.send, found.give_up) == (send, give_up)


def test_newest_first_alone_would_lose_what_is_almost_there() -> None:
    """The counterexample of the simpler rule: a new checkpoint that can't finish takes the time of one that can."""
    found = plan(of(8000, 12_000, sending=0))
    assert found.send == (0,)


def test_what_is_incomplete_or_without_weights_never_comes_before_what_can_be_resumed_from() -> None:
    pending = (
        Pending(0, 6000 * MB, (1,)),
        Pending(1, 6000 * MB, (2,), weights=False),
        Pending(2, 6000 * MB, (3,), complete=False),
    )
    found = plan(Situation(NOW, NOW + 100 + MARGIN, pending, RATE, overhead=0.0))
    assert (found.send, found.give_up) == ((0,), (1, 2))


def test_a_trainer_that_saves_on_the_signal_is_signalled_as_late_as_it_can_be() -> None:
    found = plan(of(saves_on_signal=True, save_seconds=20.0, save_bytes=3000 * MB))
    assert (found.save, found.signal_at) == (True, NOW + 50 - SLACK)
    found = plan(of(6000, saves_on_signal=True, save_seconds=20.0, save_bytes=3000 * MB))
    assert (found.save, found.signal_at, found.send) == (True, NOW + 50 - SLACK, (0,))


def test_a_last_checkpoint_that_would_cost_the_one_that_is_there_is_not_asked_for() -> None:
    found = plan(of(8000, saves_on_signal=True, save_seconds=5.0, save_bytes=8000 * MB))
    assert (found.save, found.signal_at, found.send) == (False, NOW + 94, (0,))


def test_a_trainer_that_does_not_save_is_signalled_only_at_the_end() -> None:
    found = plan(of(1000))
    assert (found.signal_at, found.end_at, found.save) == (NOW + 94, NOW + 99, False)


def test_before_the_first_checkpoint_nothing_is_known_and_the_signal_goes_at_once() -> None:
    found = plan(of(saves_on_signal=True))
    assert (found.save, found.signal_at) == (True, NOW)


def test_a_rate_that_varies_counts_for_less_but_never_for_less_than_half() -> None:
    assert seconds(of(spread=25e6), 7500 * MB) == 100
    assert seconds(of(spread=99e6), 5000 * MB) == 100


@given(situations)
@example(of(1000, at=NOW - 50))
def test_after_its_time_everything_is_at_once(situation: Situation) -> None:
    found = plan(replace(situation, at=NOW - 10))
    assert (found.signal_at, found.end_at, found.send, found.save) == (NOW, NOW, (), False)


def test_a_save_that_the_grace_cuts_off_is_not_planned() -> None:
    situation = Situation(now=0, at=120, rate=1e9, saves_on_signal=True, save_seconds=75, save_bytes=10**9, grace=60)
    assert not plan(situation).save
    assert plan(replace(situation, grace=75)).save


def test_what_fits_to_the_last_second_is_sent_and_what_needs_longer_is_not() -> None:
    assert plan(of(10_000)).send == (0,)
    assert plan(of(10_001)).send == ()


def test_each_checkpoint_costs_a_second_beside_its_bytes() -> None:
    situation = Situation(NOW, NOW + 100 + MARGIN, rate=RATE)
    assert seconds(situation, 9900 * MB) == 100
    assert seconds(situation, 0) == 1


def test_what_is_not_said_to_be_under_way_is_not() -> None:
    pending = (Pending(0, MB, (1,), sending=True), Pending(1, MB, (2,)))
    assert plan(Situation(NOW, NOW + 100, pending, RATE)).send == (0, 1)


def test_a_last_checkpoint_that_fits_to_the_last_second_is_asked_for() -> None:
    fits = of(saves_on_signal=True, save_seconds=0.5, save_bytes=9950 * MB)
    assert (plan(fits).save, plan(fits).signal_at) == (True, NOW)
    assert not plan(replace(fits, at=fits.at - 1)).save


def test_of_an_unknown_trainer_a_last_checkpoint_is_asked_for_while_it_can_be_made() -> None:
    unknown = Situation(NOW, NOW + 20 + MARGIN, saves_on_signal=True)
    assert plan(unknown).save
    assert not plan(replace(unknown, at=unknown.at - 1)).save


def test_without_a_grace_of_its_own_a_training_has_a_minute() -> None:
    situation = Situation(NOW, NOW + 200, rate=RATE, saves_on_signal=True, save_seconds=60.0, save_bytes=MB)
    assert plan(situation).save
    assert not plan(replace(situation, save_seconds=60.5)).save


@pytest.mark.parametrize(
    ("situation", "message"),
    [
        (of(), "105 s left"),
        (of(at=NOW - 50), "0 s left"),
        (of(alive=False, saves_on_signal=True), "105 s left"),
        (of(1000, 20_000), "105 s left, 1 pending can be sent, 1 can't"),
        (
            of(8000, saves_on_signal=True, save_seconds=5.0, save_bytes=8000 * MB),
            "105 s left, 1 pending can be sent, no time for a last checkpoint",
        ),
        (of(saves_on_signal=True, save_seconds=5.0, save_bytes=MB), "105 s left, a last checkpoint can be made"),
    ],
)
def test_people_are_told_what_becomes_of_what_is_there(situation: Situation, message: str) -> None:
    assert plan(situation).message == message
