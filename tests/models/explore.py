"""Breadth-first search of everything that can happen; the shortest way to a state that must not be."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

S = TypeVar("S", bound=Hashable)

MOST = 3_000_000
"""States after which a model is too large to be one."""


@dataclass(frozen=True)
class Explored(Generic[S]):
    """`wrong`: what is wrong in the last state of `trace`; empty if nothing is in any."""

    states: int
    wrong: str
    trace: tuple[str, ...]
    last: S

    def __str__(self) -> str:
        if not self.wrong:
            return f"{self.states} states, and nothing wrong in any"
        return "\n".join([*(f"{n:3}. {step}" for n, step in enumerate(self.trace, 1)), f"     {self.wrong}"])


def explore(start: S, steps: Callable[[S], Iterable[tuple[str, S]]], wrong: Callable[[S], str]) -> Explored[S]:
    """Every state that `steps` lead to from `start`, until one is `wrong`, which says why."""
    gc.disable()  # a million tuples without a cycle: collecting them takes longer than the search
    try:
        return _explored(start, steps, wrong)
    finally:
        gc.enable()


def _explored(start: S, steps: Callable[[S], Iterable[tuple[str, S]]], wrong: Callable[[S], str]) -> Explored[S]:
    came: dict[S, tuple[S, str] | None] = {start: None}
    waiting = deque([start])
    while waiting:
        state = waiting.popleft()
        if reason := wrong(state):
            return Explored(len(came), reason, _trace(came, state), state)
        for step, after in steps(state):
            if after not in came:
                came[after] = (state, step)
                waiting.append(after)
        if len(came) > MOST:
            raise AssertionError(f"more than {MOST} states")
    return Explored(len(came), "", (), start)


def _trace(came: dict[S, tuple[S, str] | None], state: S) -> tuple[str, ...]:
    found: list[str] = []
    while (before := came[state]) is not None:
        state, step = before
        found.append(step)
    return tuple(reversed(found))
