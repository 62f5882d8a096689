"""One picture of `watch`: lines that fill a terminal of so many columns and rows, and no more. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from runctl_agent.contract.phases import TERMINAL, Phase
from runctl_agent.contract.status import State
from runctl_agent.contract.summary import age, size

from .known import Known
from .moment import Moments, utc
from .shown import shown
from .silence import silent_for
from .status_text import status_text_of
from .table import Cell, Column, fitted, laid_out, styled, wrapped
from .tables import RUNS, runs_rows
from .verdict import judge

STEPS = (Phase.STARTING, Phase.SETUP, Phase.RESTORING, Phase.TRAINING, Phase.FINISHING, Phase.FINISHED)
"""What an undisturbed run goes through."""
BAR, INDENT = 30, 2
"""Columns."""
ARROW = " > "
BLOCKS, PLAIN = "█░", "#-"


@dataclass(frozen=True, slots=True)
class Screen:
    """`blocks`: what a bar is drawn of, filled and empty."""

    columns: int
    rows: int
    colour: bool = False
    blocks: str = BLOCKS


def one(known: Known, log: Sequence[str], footer: str, when: Moments, screen: Screen) -> list[str]:
    """How a run stands, above the last lines of its log."""
    head, *told = status_text_of(known, when).split("\n")
    lines = [styled(fitted(head, screen.columns), "bold", colour=screen.colour)]
    if known.state is not None and known.current:
        bars = (*_training(known.state, screen), *_upload(known, when.now, screen))
        lines += [f"  {_path(known.state, screen)}", *(f"  {line}" for line in bars)]
    lines += wrapped("\n".join(told), screen.columns)
    room = screen.rows - len(lines) - 2
    if room > 0 and log:
        lines += ["", *(fitted(line, screen.columns) for line in log[-room:])]
    return _whole(lines, footer, screen)


def many(
    rows: Sequence[Known], footer: str, when: Moments, screen: Screen, replaced: Collection[tuple[str, str]] = ()
) -> list[str]:
    """A line for each run, as many as there is room for."""
    shown_rows = rows[: room(screen)]
    told = runs_rows(shown_rows, when, replaced)
    cells = [[*row, Cell(sending(known, when.now))] for row, known in zip(told, shown_rows, strict=True)]
    columns = (*RUNS, Column("SENDING", 5, optional=True))
    lines = laid_out(columns, cells, screen.columns, colour=screen.colour)
    if len(rows) > len(shown_rows):
        lines.append(f"and {len(rows) - len(shown_rows)} more: a taller terminal shows them")
    return _whole(lines or ["no runs"], footer, screen)


def room(screen: Screen) -> int:
    """Runs that a picture of many has room for."""
    return max(1, screen.rows - 3)


def sending(known: Known, now: float) -> str:
    """Such as `61 % of 4.0 GiB at 102.0 MiB/s, 8 s left`; nothing of a machine that sends no more."""
    state = known.state if known.current and judge(known) is None and silent_for(known, now) is None else None
    if state is None or not state.pending_bytes:
        return ""
    done = f"{100 * state.sent_bytes // state.sending_bytes} % of {size(state.sending_bytes)} " if state.sending_bytes else ""
    left = "" if state.eta is None else f", {age(state.eta)} left"
    return f"{done}at {size(state.rate)}/s{left}"


def bar(part: int, whole: int, blocks: str, width: int) -> str:
    width = max(0, width)
    filled = min(width, width * part // whole) if whole else 0
    return blocks[0] * filled + blocks[1] * (width - filled)


def _path(state: State, screen: Screen) -> str:
    """The phases, and where in them the run is."""
    names = [one.value for one in STEPS if one is not Phase.FINISHED]
    last = state.phase.value if state.phase in TERMINAL else Phase.FINISHED.value
    if state.phase.value not in (*names, last):
        names.append(state.phase.value)
    here = state.phase.value
    parts = [(f"[{name}]", "cyan") if name == here else (name, "dim") for name in (*names, last)]
    if len(ARROW.join(text for text, _ in parts)) + INDENT > screen.columns:
        parts = [(f"[{here}]", "cyan")]
    return ARROW.join(styled(text, style, colour=screen.colour) for text, style in parts)


def _training(state: State, screen: Screen) -> Iterator[str]:
    """How far it is, where the training itself says of how many steps."""
    if state.train_steps and state.train_step is not None and state.phase not in TERMINAL:
        done = f"{100 * state.train_step // state.train_steps} % of {state.train_steps} steps"
        yield _drawn(state.train_step, state.train_steps, done, "cyan", screen)


def _upload(known: Known, now: float, screen: Screen) -> Iterator[str]:
    state, text = known.state, sending(known, now)
    if text and state is not None and state.sending_bytes:
        yield _drawn(state.sent_bytes, state.sending_bytes, text, "green", screen)


def _drawn(part: int, whole: int, text: str, style: str, screen: Screen) -> str:
    drawn = bar(part, whole, screen.blocks, min(BAR, screen.columns - len(text) - INDENT - 1))
    return f"{styled(drawn, style, colour=screen.colour)} {text}"


def _whole(lines: list[str], footer: str, screen: Screen) -> list[str]:
    """The footer stands in the last row."""
    lines = lines[: screen.rows - 1]
    lines += [""] * (screen.rows - 1 - len(lines))
    return [*lines, styled(fitted(shown(footer), screen.columns), "dim", colour=screen.colour)]


def footer(looked_at: float, every: float, problem: str) -> str:
    looked = f"looked at {utc(looked_at)}, every {every:g} s" if looked_at else "looking"
    return f"q quits · {looked}" + (f" · {problem}" if problem else "")
