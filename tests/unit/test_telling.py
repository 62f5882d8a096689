from __future__ import annotations

from runctl_agent.telling import HURRIED, HURRY, LOOK, REST, TELL, Telling


def told(telling: Telling, times: list[float], *, resting: bool, news: object = "same") -> list[float]:
    return [at for at in times if telling.due(at, news, resting=resting)]


def quarters(begin: float, end: float) -> list[float]:
    return [begin + n / 4 for n in range(int(4 * (end - begin)))]


def test_news_are_told_at_once_and_once() -> None:
    telling = Telling(0.0)
    assert telling.due(0.0, "a", resting=True)
    assert not telling.due(0.25, "a", resting=True)
    assert telling.due(0.5, "b", resting=True)
    assert not telling.due(0.75, "b", resting=True)


def test_without_news_every_second_while_anything_goes_on_and_seldom_while_nothing_does() -> None:
    telling = Telling(0.0)
    assert telling.due(0.0, "same", resting=False)
    assert told(telling, quarters(0, 4), resting=False) == [TELL, 2 * TELL, 3 * TELL]
    assert told(telling, quarters(4, 15), resting=True) == [3 * TELL + REST, 3 * TELL + 2 * REST]
    assert told(telling, [14.5, 14.75, 15.0], resting=False) == [14.5], "what begins is told without waiting for the rest"


def test_looks_are_close_together_only_for_a_while_after_an_end() -> None:
    telling = Telling(0.0)
    telling.due(10.0, "ended", resting=False)
    assert telling.pause(10.1, ending=True) == HURRY
    assert telling.pause(10.1, ending=False) == LOOK
    assert telling.pause(10.0 + HURRIED, ending=True) == LOOK, "what can't be sent is not looked at twenty times a second"
    telling.due(13.0, "quiet", resting=False)
    assert telling.pause(13.1, ending=True) == HURRY
