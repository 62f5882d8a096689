"""What `watch` looks at: one call of EC2 for any number of runs, and of S3 only what is shown and EC2 does not say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from runctl_agent.errors import RunctlError
from runctl_agent.runtime import Runtime

from .choosing import Choice, chosen
from .exits import Throttled, Unavailable
from .fleet import Fleet, Machine
from .known import Known, known
from .logs import Log, Reader, tail
from .shelf import Shelf
from .silence import STALE
from .verdict import Verdict, needs_status
from .wait import SLOWEST, Wait

LOG_EVERY = 15.0
"""Seconds between two looks at a log: its agent puts what is new every 30 s."""
LOG_LINES = 200


class View(Protocol):
    """`pause`: seconds until the next look; `problem`: why the last one, at `looked_at`, saw not all."""

    @property
    def looked_at(self) -> float: ...

    @property
    def pause(self) -> float: ...

    @property
    def problem(self) -> str: ...

    def look(self, room: int) -> None:
        """Once; `room`: so many runs can be shown. Raises RunctlError for what does not pass by itself."""

    @property
    def rows(self) -> Sequence[Known]: ...


class One:
    """One run, until it has ended, and the end of its log."""

    def __init__(self, wait: Wait, log: Log, runtime: Runtime) -> None:
        self._wait = wait
        self._log = log
        self._runtime = runtime
        self._log_at = -LOG_EVERY
        self.verdict: Verdict | None = None
        self.lines: tuple[str, ...] = ()
        self.looked_at = 0.0
        self._unread = ""

    @property
    def pause(self) -> float:
        return self._wait.pause

    @property
    def problem(self) -> str:
        return self._wait.problem or self._unread

    @property
    def rows(self) -> Sequence[Known]:
        return [] if self._wait.seen is None else [self._wait.seen]

    def look(self, room: int) -> None:
        self.verdict = self._wait.look()
        self.looked_at = self._runtime.now()
        if room and self._runtime.monotonic() - self._log_at >= LOG_EVERY:
            self._log_at = self._runtime.monotonic()
            self._read()

    def _read(self) -> None:
        """That the log can't be had hides nothing else."""
        try:
            reader, pieces = Reader(self._log), self._log.last(self._log.pieces(), LOG_LINES)
            reader.begin(pieces)
            lines = tail((*reader.new(pieces), *reader.rest()), LOG_LINES)
            self.lines, self._unread = tuple(line.text for line in lines), ""
        except RunctlError as error:
            self._unread = str(error)


class All:
    """Every run that EC2 shows, the newest launch first."""

    def __init__(
        self,
        fleet: Fleet,
        runtime: Runtime,
        every: float,
        which: Choice,
        replaced: Callable[[Sequence[Known]], frozenset[tuple[str, str]]],
        shelf_of: Callable[[str], Shelf] | None = None,
    ) -> None:
        """`replaced`: of which of some runs a group launches the next instance."""
        self._replaced = replaced
        self._fleet = fleet
        self._runtime = runtime
        self._every = every
        self._which = which
        self._shelf_of = shelf_of or self._shelf
        self._shelves: dict[str, Shelf] = {}
        self._rows: Sequence[Known] = ()
        self.pause = every
        self.looked_at = 0.0
        self.problem = ""
        self.replaced: frozenset[tuple[str, str]] = frozenset()

    @property
    def rows(self) -> Sequence[Known]:
        return self._rows

    def look(self, room: int) -> None:
        try:
            machines = self._fleet.all()
        except (Throttled, Unavailable) as error:
            self.pause = min(max(2 * self.pause, 1.0), SLOWEST)
            self.problem = str(error)
            return
        self.pause, self.problem, self.looked_at = self._every, "", self._runtime.now()
        newest: dict[tuple[str, str], Machine] = {}
        for machine in machines:
            newest.setdefault((machine.run, machine.destination), machine)
        rows = [known(*place, machine) for place, machine in newest.items()]
        rows = [row for row in rows if row.machine is not None and self._which.takes(row.machine)]
        rows = chosen(rows, self._which, self._runtime.now())
        self._rows = [*map(self._with_status, rows[:room]), *rows[room:]]
        self.replaced = self._replaced(self._rows[:room])

    def _with_status(self, row: Known) -> Known:
        if not row.destination or not needs_status(row.machine, self._runtime.now(), STALE):
            return row
        try:
            return known(row.run, row.destination, row.machine, self._shelf_of(row.destination).status(row.run))
        except RunctlError as error:
            self.problem = str(error)
        return row

    def _shelf(self, destination: str) -> Shelf:
        return self._shelves.setdefault(destination, Shelf(destination, self._runtime))
