"""Processes that exist only in a table."""

from __future__ import annotations

import signal
from collections.abc import Callable

from runctl_agent.errors import NotFoundError
from runctl_agent.records import ProcessId

BOOT = "11111111-2222-3333-4444-555555555555"


class FakeProcesses:
    """`start`, `end` and `reap` are the test's; `signalled` records what was sent."""

    def __init__(self, boot: str = BOOT) -> None:
        self._boot = boot
        self.signalled: list[tuple[ProcessId, signal.Signals]] = []
        self.held: set[ProcessId] = set()
        self.on_signal: Callable[[ProcessId, signal.Signals], None] = lambda process, number: None
        self._owners: dict[ProcessId, int] = {}
        self._zombies: set[ProcessId] = set()
        self._ticks = 100

    def start(self, pid: int, uid: int = 0) -> ProcessId:
        self._ticks += 1
        process = ProcessId(pid, self._ticks, self._boot)
        self._owners[process] = uid
        return process

    def end(self, process: ProcessId) -> None:
        self._zombies.add(process)

    def reap(self, process: ProcessId) -> None:
        del self._owners[process]

    def identify(self, pid: int) -> ProcessId | None:
        return next((process for process in self._owners if process.pid == pid), None)

    def alive(self, process: ProcessId) -> bool:
        return process in self._owners and process not in self._zombies

    def exited(self, process: ProcessId) -> bool:
        if self.alive(process):
            self.held.add(process)
            return False
        self.forget(process)
        return True

    def owner(self, process: ProcessId) -> int | None:
        return self._owners.get(process)

    def session(self, leader: ProcessId) -> list[ProcessId]:
        return []

    def signal(self, process: ProcessId, number: signal.Signals, *, group: bool = False) -> None:
        if not self.alive(process):
            raise NotFoundError(f"can't send {number.name} to process {process.pid}", "it has ended")
        self.signalled.append((process, number))
        self.on_signal(process, number)

    def forget(self, process: ProcessId) -> None:
        self.held.discard(process)
