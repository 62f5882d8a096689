"""A view that is drawn over and over, on a screen of its own, until somebody leaves it; and the same without a terminal."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from runctl_agent.runtime import Runtime, Task

from .frame import BLOCKS, PLAIN, Screen, room
from .known import Known
from .render import coloured
from .watching import View

DRAWN_EVERY = 0.5
"""Seconds: so soon a key is heard, and a new size of the terminal seen."""
LEAVES = ("q", "Q", "\x1b")

MOST = 1000
"""Runs that are looked up in S3 where no terminal limits them."""

Draw = Callable[[Screen], Sequence[str]]


class Pressed(Protocol):
    def pressed(self, seconds: float) -> str: ...


class Picture:
    """For rich: drawn anew at each refresh, as large as the terminal is then."""

    def __init__(self, draw: Draw, *, colour: bool, blocks: str) -> None:
        self._draw = draw
        self._colour = colour
        self._blocks = blocks

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        size = console.size
        for line in self._draw(Screen(size.width, size.height, self._colour, self._blocks)):
            yield Text.from_ansi(line, no_wrap=True, overflow="crop")


def watched(view: View, draw: Draw, over: Callable[[], bool], runtime: Runtime, keys: Pressed, console: Console) -> None:
    """Until `over`, or until a key of LEAVES is pressed. Raises what a look raised."""
    blocks = BLOCKS if (console.encoding or "").lower().startswith("utf") else PLAIN
    picture = Picture(draw, colour=coloured(sys.stdout), blocks=blocks)
    looking: Task | None = None
    next_at = runtime.monotonic()
    with _ended_by_signals(), Live(picture, console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        while not over():
            if looking is None and runtime.monotonic() >= next_at:
                size = console.size
                many = room(Screen(size.width, size.height))
                looking = runtime.spawn("look", lambda: view.look(many))  # noqa: B023 - it is called before the next turn
            if looking is not None and looking.done:
                if looking.error is not None:
                    raise looking.error
                looking, next_at = None, runtime.monotonic() + view.pause
            live.update(picture, refresh=True)
            if keys.pressed(DRAWN_EVERY) in LEAVES:
                return


def told(
    view: View,
    of: Callable[[Known], object],
    changed: Callable[[Known], None],
    over: Callable[[], bool],
    runtime: Runtime,
    most: int = MOST,
) -> None:
    """Without a terminal: `changed` is told of each run of which `of` differs. `most`: runs that S3 is asked of."""
    before: dict[tuple[str, str], object] = {}
    while True:
        view.look(most)
        for known in view.rows:
            place = (known.run, known.destination)
            if before.get(place) != of(known):
                before[place] = of(known)
                changed(known)
        if over():
            return
        runtime.sleep(view.pause)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end it as Ctrl-C does: the terminal is given back first."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
