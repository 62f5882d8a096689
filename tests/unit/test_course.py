"""What gives way to what, while not everything can be sent."""

from __future__ import annotations

from runctl_agent.store.course import PATIENCE, Course


def test_without_a_plan_nothing_gives_way() -> None:
    course = Course()
    assert (course.first, course.gives_way(1, 0.0), course.hurried) == ((), False, False)


def test_what_is_not_the_first_that_can_finish_gives_way_to_it() -> None:
    course = Course()
    course.begun(3, 0.0)
    course.set((1, 2), (3,))
    assert (course.first, course.hurried) == ((1, 2, 3), True)
    assert [course.gives_way(row, 1.0) for row in (1, 2, 3, 4)] == [False, True, True, True]
    course.clear()
    assert (course.gives_way(3, 1.0), course.first) == (False, ())


def test_what_cannot_finish_makes_nothing_give_way() -> None:
    course = Course()
    course.set((), (2, 1))
    assert not course.gives_way(1, 0.0)


def test_what_could_not_be_begun_is_passed_by_for_a_moment() -> None:
    """Else what is sent in its place would be begun and given back without end."""
    course = Course()
    course.set((1, 2), (3,))
    course.begun(3, 10.0)
    assert not course.gives_way(3, 10.0 + PATIENCE / 2)
    assert course.gives_way(3, 10.0 + PATIENCE)
    course.begun(2, 20.0)
    assert not course.gives_way(2, 20.0)


def test_what_came_after_the_beginning_is_given_way_to() -> None:
    course = Course()
    course.set((1,), ())
    course.begun(1, 0.0)
    course.set((5, 1), ())
    assert course.gives_way(1, 0.5)
