"""Every run there is: by its newest instance, or by status.json where the instance has ended or is gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from runctl_agent.contract.status import State
from runctl_agent.errors import StoreUnavailable, WrongStateError
from runctl_agent.runtime import Runtime, run_pool

from .fleet import Fleet, Machine
from .known import Known, known
from .shelf import Shelf

WIDTH = 8

Say = Callable[[str], None]


def runs(fleet: Fleet, shelf: Shelf | None, runtime: Runtime, say: Say, *, every: bool) -> list[Known]:
    """Newest launch first, then those that EC2 no longer knows, by name. `every`: earlier instances too, each in a row."""
    by_run: dict[tuple[str, str], list[Machine]] = {}
    for machine in fleet.all():
        by_run.setdefault((machine.run, machine.destination), []).append(machine)
    if shelf is None:
        return [known(*place, machine) for place, machines in by_run.items() for machine in (machines if every else machines[:1])]
    here = {run: machines[0] for (run, url), machines in by_run.items() if url == shelf.url}
    gone = [run for run in shelf.runs() if run not in here]
    ended = [run for run, machine in here.items() if not machine.lives or machine.own is None]
    statuses = _statuses(shelf, gone + ended, runtime, say)

    def row(machine: Machine) -> Known:
        status = statuses.get(machine.run) if machine is here.get(machine.run) else None
        return known(machine.run, machine.destination, machine, status)

    rows = [row(machine) for machines in by_run.values() for machine in (machines if every else machines[:1])]
    return rows + [known(run, shelf.url, None, statuses.get(run)) for run in gone]


def _statuses(shelf: Shelf, names: Sequence[str], runtime: Runtime, say: Say) -> dict[str, State]:
    """One that can't be read is said so, and does not hide the others."""
    found: dict[str, State] = {}

    def read(run: str) -> None:
        try:
            if (state := shelf.status(run)) is not None:
                found[run] = state
        except (StoreUnavailable, WrongStateError) as error:
            say(error.full)

    run_pool(runtime, "status", WIDTH, read, names)
    return found
