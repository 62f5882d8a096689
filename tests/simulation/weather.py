"""What goes wrong at this moment: the windows of a schedule, asked by the ports at every call."""

from __future__ import annotations

from collections.abc import Iterable

from tests.simulation.schedule import AT_ONCE, Fault, What
from tests.simulation.seeded import Scheduler


class Weather:
    """`damaged`: keys of S3 that were written with other bytes than were sent; whoever finds that out may write them anew."""

    def __init__(self, scheduler: Scheduler, faults: Iterable[Fault] = ()) -> None:
        self._scheduler = scheduler
        self._began = scheduler.mono
        self._windows = [fault for fault in faults if fault.what not in AT_ONCE]
        self.damaged: set[str] = set()

    @property
    def over_at(self) -> float:
        """When the last window closes, in seconds of the scheduler."""
        return self._began + max((fault.at + fault.seconds for fault in self._windows), default=0.0)

    def rages(self, machine: int, *what: What) -> bool:
        """Whether one of these is going on, whatever its chance."""
        now = self._scheduler.mono - self._began
        return any(self._open(fault, machine, now) and fault.what in what for fault in self._windows)

    def strikes(self, machine: int, *what: What) -> What | None:
        """Which of these this call meets, by the dice."""
        now = self._scheduler.mono - self._began
        for fault in self._windows:
            if fault.what in what and self._open(fault, machine, now) and self._scheduler.chance.random() < fault.chance:
                return fault.what
        return None

    def _open(self, fault: Fault, machine: int, now: float) -> bool:
        return fault.machine == machine and fault.at <= now < fault.at + fault.seconds

    def spans(self, machine: int, *what: What) -> list[tuple[float, float]]:
        """From when until when, in seconds of the scheduler."""
        mine = (fault for fault in self._windows if fault.machine == machine and fault.what in what)
        return [(self._began + fault.at, self._began + fault.at + fault.seconds) for fault in mine]
