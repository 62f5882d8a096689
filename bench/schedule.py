"""When machines are taken away, and what each time cost by the training's own words. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    NOTICE = "notice"  # EC2 says when, and takes it then
    LOSS = "loss"  # the power goes, without a word


@dataclass(frozen=True)
class Interruption:
    """`after`: seconds from the life's first step to its machine's end."""

    kind: Kind
    after: float


Schedule = tuple[Interruption, ...]
"""Of one training, life by life."""


def schedules(pairs: int, shortest: float, longest: float, seed: int) -> list[Schedule]:
    """`pairs` trainings, each with one notice and one loss.

    The lives of each kind are spread evenly from `shortest` to `longest`, one at random in each part, so that what comes at a
    period of that length is met at every point of it; long lives go with short ones.
    """
    at_random = random.Random(seed)
    part = (longest - shortest) / pairs
    lives = {kind: [shortest + part * (n + at_random.random()) for n in range(pairs)] for kind in Kind}
    made = []
    for n in range(pairs):
        both = [Interruption(Kind.NOTICE, lives[Kind.NOTICE][n]), Interruption(Kind.LOSS, lives[Kind.LOSS][pairs - 1 - n])]
        made.append(tuple(both if n % 2 == 0 else both[::-1]))
    return made


@dataclass(frozen=True)
class Life:
    """What the training said from one start to its end: the step it went on from, and when each step was done."""

    name: str
    began: float
    resumed: int
    steps: tuple[tuple[int, float], ...] = ()

    def beyond(self, step: int) -> float | None:
        """When it first did a step that is new."""
        return next((at for number, at in self.steps if number > step), None)


def lives(lines: Iterable[str]) -> list[Life]:
    """In the order of their starts.

    >>> [(one.resumed, one.beyond(6)) for one in lives(["a start 5 1.0", "a step 6 2.0", "a step 7 3.0"])]
    [(5, 3.0)]
    """
    begun: dict[str, tuple[float, int]] = {}
    steps: dict[str, list[tuple[int, float]]] = {}
    for line in lines:
        name, what, number, at = line.split()
        if what == "start":
            begun[name] = float(at), int(number)
        else:
            steps.setdefault(name, []).append((int(number), float(at)))
    return [Life(name, at, resumed, tuple(steps.get(name, ()))) for name, (at, resumed) in begun.items()]


@dataclass(frozen=True)
class Cost:
    """Of one interruption. `steps` were done again; `seconds`: from the last step before it to the first that is new.

    Of the replacement, in seconds from its boot: `start` to its training's start, `boot` to the first new step.
    """

    kind: Kind
    steps: int
    seconds: float
    start: float
    boot: float


def cost(kind: Kind, before: Iterable[Life], after: Life, booted: float) -> Cost | None:
    """`booted`: when the replacement did, in wall-clock seconds. None: it has not got beyond what was done before."""
    done = max((step for life in before for step in life.steps), default=(0, booted))
    new = after.beyond(done[0])
    if new is None:
        return None
    return Cost(kind, max(0, done[0] - after.resumed), new - done[1], after.began - booted, new - booted)
