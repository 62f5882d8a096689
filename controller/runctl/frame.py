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
from .sight import told_at
from .status_text import status_text_of
from .table import Cell, Column, fitted, laid_out, styled
from .tables import RUNS, runs_rows

STEPS = (Phase.STARTING, Phase.SETUP, Phase.RESTORING, Phase.TRAINING, Phase.FINISHING, Phase.FINISHED)
"""What an undisturbed run goes through."""
BAR = 30
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
        lines += [f"  {_path(known.state, screen)}", *(f"  {line}" for line in _upload(known.state, screen))]
    lines += [fitted(shown(line), screen.columns) for line in told]
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
    cells = [[*row, Cell(sending(known.state))] for row, known in zip(told, shown_rows, strict=True)]
    columns = (*RUNS, Column("SENDING", 5, optional=True))
    lines = laid_out(columns, cells, screen.columns, colour=screen.colour)
    if len(rows) > len(shown_rows):
        lines.append(f"and {len(rows) - len(shown_rows)} more: a taller terminal shows them")
    return _whole(lines or ["no runs"], footer, screen)


def room(screen: Screen) -> int:
    """Runs that a picture of many has room for."""
    return max(1, screen.rows - 3)


def sending(state: State | None) -> str:
    """Such as `61 % at 102.0 MiB/s, 8 s left`."""
    if state is None or not state.pending_bytes or state.phase in TERMINAL:
        return ""
    done = f"{100 * state.sent_bytes // state.sending_bytes} % " if state.sending_bytes else ""
    left = "" if state.eta is None else f", {age(state.eta)} left"
    return f"{done}at {size(state.rate)}/s{left}"


def bar(part: int, whole: int, blocks: str, width: int = BAR) -> str:
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
    return " > ".join(styled(text, style, colour=screen.colour) for text, style in parts)


def _upload(state: State, screen: Screen) -> Iterator[str]:
    if state.sending is None or not state.sending_bytes or state.phase in TERMINAL:
        return
    drawn = styled(bar(state.sent_bytes, state.sending_bytes, screen.blocks), "green", colour=screen.colour)
    yield f"{drawn} {sending(state)} of {size(state.sending_bytes)}"


def _whole(lines: list[str], footer: str, screen: Screen) -> list[str]:
    """The footer stands in the last row."""
    lines = lines[: screen.rows - 1]
    lines += [""] * (screen.rows - 1 - len(lines))
    return [*lines, styled(fitted(shown(footer), screen.columns), "dim", colour=screen.colour)]


def footer(now: float, every: float, problem: str, known: Known | None = None) -> str:
    told = "" if known is None or known.state is None else f"as of {told_at(known, Moments(now))} · "
    trouble = f" · {problem}" if problem else ""
    return f"{told}looked at {utc(now)}, every {every:g} s · q quits{trouble}"
