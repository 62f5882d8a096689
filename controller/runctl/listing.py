"""Every run there is: by its newest instance, or by status.json where the instance has ended or is gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from runctl_agent.errors import StoreUnavailable, WrongStateError
from runctl_agent.runtime import Runtime, run_pool

from . import documents
from .choosing import Choice, chosen
from .cost import so_far
from .fleet import Machine
from .known import Known, known
from .shelf import Shelf
from .silence import silent_for

WIDTH = 8

T = TypeVar("T")
Say = Callable[[str], None]


class Machines(Protocol):
    """A fleet: of one region, or of all."""

    def all(self) -> list[Machine]: ...


class Listing:
    """`shelf` None: only what EC2 knows."""

    def __init__(self, fleet: Machines, shelf: Shelf | None, runtime: Runtime, say: Say) -> None:
        self._fleet = fleet
        self._shelf = shelf
        self._runtime = runtime
        self._say = say

    def runs(self, which: Choice, *, every: bool = False) -> list[Known]:
        """Newest launch first, then those that EC2 no longer knows, by name. `every`: earlier instances too, each in a row."""
        by_run: dict[tuple[str, str], list[Machine]] = {}
        for machine in self._fleet.all():
            by_run.setdefault((machine.run, machine.destination), []).append(machine)
        known_here = set(by_run)
        by_run = {place: machines for place, machines in by_run.items() if which.takes(machines[0])}
        rows = [known(*place, machines[0]) for place, machines in by_run.items()]
        if self._shelf is not None:
            rows = self._with_status(rows, known_here, self._shelf, which)
        if every:
            earlier = {place: machines[1:] for place, machines in by_run.items()}
            rows = [row for newest in rows for row in (newest, *_rest(newest, earlier))]
        return chosen(rows, which, self._runtime.now())

    def _with_status(self, rows: list[Known], in_ec2: set[tuple[str, str]], shelf: Shelf, which: Choice) -> list[Known]:
        gone = [run for run in shelf.runs() if (run, shelf.url) not in in_ec2]
        if which.project or which.owner:
            gone = self._narrowed(gone, shelf, which)
        now = self._runtime.now()
        open_ones = {row.run for row in rows if row.destination == shelf.url and _open(row, now)}
        statuses = self._each([*gone, *open_ones], shelf.status)

        def told(row: Known) -> Known:
            return known(row.run, row.destination, row.machine, statuses.get(row.run)) if row.destination == shelf.url else row

        return [*map(told, rows), *(known(run, shelf.url, None, statuses.get(run)) for run in gone)]

    def _narrowed(self, names: Sequence[str], shelf: Shelf, which: Choice) -> list[str]:
        """Of those that EC2 has none of only S3 says whose they are."""
        if which.project:
            specs = self._each(names, shelf.spec)
            names = [run for run in names if run in specs and specs[run].project == which.project]
        if which.owner:
            begun = self._each(names, shelf.launched)
            names = [run for run in names if run in begun and begun[run].launched.owner == which.owner]
        return list(names)

    def _each(self, names: Sequence[str], get: Callable[[str], T | None]) -> dict[str, T]:
        """One that can't be read is said so, and does not hide the others."""
        found: dict[str, T] = {}

        def read(run: str) -> None:
            try:
                if (one := get(run)) is not None:
                    found[run] = one
            except (StoreUnavailable, WrongStateError) as error:
                self._say(error.full)

        run_pool(self._runtime, "status", WIDTH, read, names)
        return found


def row(known: Known, now: float) -> documents.Listed:
    """What `list` and `status` say of one run."""
    cost, region = so_far(known, now), "" if known.machine is None else known.machine.region
    return {
        **known.plain(),
        "silent": silent_for(known, now),
        "cost": None if cost is None else round(cost.amount, 4),
        "cost_bound": cost is not None and cost.bound,
        "region": region,
    }


def _rest(newest: Known, earlier: dict[tuple[str, str], list[Machine]]) -> list[Known]:
    machines = earlier.get((newest.run, newest.destination), []) if newest.machine is not None else []
    return [known(newest.run, newest.destination, machine) for machine in machines]


def _open(row: Known, now: float) -> bool:
    """Whether status.json may know better."""
    machine = row.machine
    return machine is None or not machine.lives or machine.own is None or silent_for(row, now) is not None
