from __future__ import annotations

from runctl_agent.readback import RUNGS, WARY, ReadBack, Verdict

START = 1000.0
CALM = START + WARY + 1.0  # no older call may land any more


def looks(back: ReadBack, posted_at: float, *, as_posted: bool) -> list[tuple[float, Verdict]]:
    found = []
    while (due := back.due()) is not None:
        found.append((due - posted_at, back.looked(due, as_posted=as_posted)))
    return found


def test_without_a_post_there_is_nothing_to_look_for() -> None:
    assert ReadBack(START).due() is None


def test_a_post_that_is_seen_is_looked_at_once() -> None:
    back = ReadBack(START)
    back.posted(CALM)
    assert looks(back, CALM, as_posted=True) == [(1.0, Verdict.AS_POSTED)]


def test_while_an_older_call_may_land_the_looks_go_on_for_minutes() -> None:
    back = ReadBack(START)
    back.wary(CALM)
    back.posted(CALM)
    assert looks(back, CALM, as_posted=True) == [(rung, Verdict.AS_POSTED) for rung in RUNGS]


def test_a_new_agent_is_wary_of_the_one_before_it() -> None:
    back = ReadBack(START)
    back.posted(START)
    assert len(looks(back, START, as_posted=True)) == len(RUNGS)


def test_what_does_not_show_is_given_some_seconds() -> None:
    back = ReadBack(START)
    back.posted(CALM)
    verdicts = looks(back, CALM, as_posted=False)
    assert verdicts == [
        (1.0, Verdict.EARLY),
        (5.0, Verdict.EARLY),
        (15.0, Verdict.OVERWRITTEN),
        (60.0, Verdict.OVERWRITTEN),
        (120.0, Verdict.OVERWRITTEN),
        (300.0, Verdict.OVERWRITTEN),
    ]


def test_what_was_seen_and_is_gone_is_overwritten_at_once() -> None:
    back = ReadBack(START)
    back.wary(CALM)
    back.posted(CALM)
    assert back.looked(CALM + 1, as_posted=True) is Verdict.AS_POSTED
    assert back.looked(CALM + 5, as_posted=False) is Verdict.OVERWRITTEN


def test_posts_that_are_never_seen_are_looked_at_ever_more_rarely() -> None:
    back, now, gaps = ReadBack(START), START, []
    back.posted(now)
    for _ in range(9):
        due = back.due()
        assert due is not None
        gaps.append(due - now)
        now = due
        if back.looked(now, as_posted=False) is Verdict.OVERWRITTEN:
            back.posted(now)
    assert gaps == [1, 4, 10, 60, 120, 300, 300, 300, 300]


def test_what_replaces_an_overwritten_post_is_looked_at_more_rarely() -> None:
    back = ReadBack(START)
    back.posted(START)
    back.looked(START + 1, as_posted=True)
    assert back.looked(START + 5, as_posted=False) is Verdict.OVERWRITTEN
    back.posted(START + 5)
    assert back.due() == START + 5 + 15


def test_a_failed_look_waits_for_the_next() -> None:
    back = ReadBack(START)
    back.posted(START)
    back.blind(START + 2)
    assert back.due() == START + 5
