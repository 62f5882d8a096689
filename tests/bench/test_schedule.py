"""When machines are taken away, and what each time cost by the training's own words."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench.schedule import Cost, Kind, cost, lives, schedules


@given(pairs=st.integers(1, 10), seed=st.integers())
def test_every_training_has_a_notice_and_a_loss_at_every_point_of_the_period(pairs: int, seed: int) -> None:
    made = schedules(pairs, 60.0, 120.0, seed)
    assert made == schedules(pairs, 60.0, 120.0, seed)
    assert [{one.kind for one in schedule} for schedule in made] == [set(Kind)] * pairs
    for kind in Kind:
        after = sorted(one.after for schedule in made for one in schedule if one.kind is kind)
        assert [int((at - 60.0) / (60.0 / pairs)) for at in after] == list(range(pairs))


def test_steps_done_again_are_those_between_the_last_and_the_one_gone_on_from() -> None:
    before, after = lives(["a start 0 1", "a step 1 2", "a step 2 3", "a step 3 4", "b start 1 10", "b step 2 11", "b step 3 12"])
    assert cost(Kind.LOSS, [before], after, 8.0) is None, "it is not beyond them yet"
    (again,) = lives(["b start 1 10", "b step 2 11", "b step 3 12", "b step 4 13"])
    assert cost(Kind.LOSS, [before], again, 8.0) == Cost(Kind.LOSS, steps=2, seconds=9.0, start=2.0, boot=5.0)


def test_the_furthest_of_all_lives_counts() -> None:
    first, second, third = lives(["a start 0 1", "a step 9 2", "b start 0 3", "b step 1 4", "c start 0 5", "c step 10 6"])
    assert cost(Kind.NOTICE, [first, second], third, 4.5) == Cost(Kind.NOTICE, steps=9, seconds=4.0, start=0.5, boot=1.5)
