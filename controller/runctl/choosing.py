"""Which runs `list` shows, and in which order. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from runctl_agent.contract.phases import Phase
from runctl_agent.errors import UsageError

from .cost import so_far
from .fleet import Machine
from .known import Known
from .sight import listed, phase

GONE, SILENT = "gone", "silent"
PHASES = (*(one.value for one in Phase), GONE, SILENT)

Key = Callable[[Known, float], tuple[bool, float | str]]


@dataclass(frozen=True, slots=True)
class Choice:
    """`phases` empty: every one; `project`, `owner` empty: anybody's. `sort` empty: as they were found, newest launch first."""

    phases: tuple[str, ...] = ()
    project: str = ""
    owner: str = ""
    sort: str = ""

    def takes(self, machine: Machine) -> bool:
        """Whether its project and owner are among those asked for."""
        return self.project in ("", machine.project) and self.owner in ("", machine.owner)


def choice(phases: Sequence[str], project: str, owner: str, sort: str) -> Choice:
    """Raises UsageError for a phase or an order that there is none of."""
    wanted = tuple(one.strip() for given in phases for one in given.split(",") if one.strip())
    for one in wanted:
        _known("--phase", one, PHASES)
    if sort:
        _known("--sort", sort, ORDERS)
    return Choice(wanted, project, owner, sort)


def chosen(rows: Sequence[Known], which: Choice, now: float) -> list[Known]:
    """Those of the phases that are asked for, in order."""
    found = [row for row in rows if not which.phases or any(_is(row, one, now) for one in which.phases)]
    if which.sort:
        key = ORDERS[which.sort]
        found.sort(key=lambda row: key(row, now))
    return found


def _is(row: Known, wanted: str, now: float) -> bool:
    said = listed(row, now)
    if wanted in (GONE, SILENT):
        return said.partition(" ")[0] == wanted
    return said == wanted or (said.startswith(SILENT) and phase(row) == wanted)


def _known(option: str, given: str, there: Collection[str]) -> None:
    if given not in there:
        near = difflib.get_close_matches(given, list(there), n=1) or list(there)[:1]
        raise UsageError(f"{option} takes no {given!r:.40}", f"but {', '.join(there)}", f"did you mean {option} {near[0]}?")


def _by(value: Callable[[Known, float], float | None], *, falling: bool = True) -> Key:
    """What is not known comes last."""

    def key(row: Known, now: float) -> tuple[bool, float | str]:
        found = value(row, now)
        return (True, 0.0) if found is None else (False, -found if falling else found)

    return key


def _step(row: Known) -> int | None:
    state = row.state
    return None if state is None else state.step if state.train_step is None else state.train_step


def _cost(row: Known, now: float) -> float | None:
    cost = so_far(row, now)
    return None if cost is None else cost.amount


ORDERS: dict[str, Key] = {
    "run": lambda row, now: (False, row.run),
    "phase": lambda row, now: (False, listed(row, now)),
    "age": _by(lambda row, now: None if row.machine is None else row.machine.launch_time, falling=False),
    "step": _by(lambda row, now: _step(row)),
    "behind": _by(lambda row, now: None if row.state is None else row.state.pending_bytes),
    "safe": _by(lambda row, now: None if row.state is None else row.state.committed_at, falling=False),
    "cost": _by(_cost),
}
"""The oldest, the largest and the dearest first."""
