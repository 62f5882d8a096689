"""What the agent has on its own machine, the real thing on a real disk: journal, staging, locks. Killed, and out of room."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from runctl_agent.disk.lock import CheckpointLock, Locks
from runctl_agent.disk.stage import Stager
from runctl_agent.errors import DiskShort, JournalError
from runctl_agent.records import FileId, Finished
from runctl_agent.store.journal import Journal
from tests.simulation.ports import Stepping
from tests.simulation.schedule import What
from tests.simulation.seeded import Seeded
from tests.simulation.weather import Weather


def quick(journal: Journal) -> Journal:
    """Nobody else opens it while it is open, and no simulated machine's disk forgets what was written and not synced."""
    connection = journal._database._connection
    for pragma in ("locking_mode = EXCLUSIVE", "synchronous = OFF"):
        connection.execute(f"PRAGMA {pragma}")
    return journal


class SimJournal(Stepping):
    """The real journal, on a disk that may be without a byte. `uploads`: the multipart uploads that it was ever told of."""

    READS = frozenset(
        {"get", "epoch", "known", "behind", "sending", "pending", "queue", "directories", "superseded", "totals", "trouble"}
        | {"mark", "pending_up_to", "files", "owed_aborts", "stored_before", "stored_possible", "stored_alike"}
    )

    def __init__(self, inner: object, runtime: Seeded, weather: Weather, machine: int, uploads: set[str]) -> None:
        super().__init__(inner, runtime)
        self._weather = weather
        self._machine = machine
        self._uploads = uploads

    def __getattr__(self, name: str) -> Any:
        call = super().__getattr__(name)
        if not callable(call) or name in self.READS:
            return call

        def written(*arguments: Any, **options: Any) -> Any:
            if self._weather.strikes(self._machine, What.JOURNAL_FULL):
                raise JournalError("the journal can't be used", "database or disk is full")
            if name == "start_upload":
                self._uploads.add(arguments[3])
            return call(*arguments, **options)

        setattr(self, name, written)
        return written


class SimStager(Stager):
    """The real one, on a disk that may be full: links fit, copies don't."""

    def __init__(self, *arguments: Any, full: Callable[[], bool], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._full = full

    def short_by(self, path: str) -> int:
        return 1 if self._full() else super().short_by(path)

    def _copy(self, finished: Finished, fd: int, directory: int, name: str, left: int) -> FileId:
        if self._full():
            raise DiskShort(f"{finished.name!r} is not staged", "No space left on device")
        return super()._copy(finished, fd, directory, name, left)

    def die(self) -> None:
        """What the kernel closes."""
        self._unguard()
        for key in list(self._descriptors):
            while key in self._descriptors:
                self._close(key)


class KillableLocks(Locks):
    """Locks that the kernel frees when their holder is killed, as it does with flock."""

    def __init__(self, directory: str, boot_id: str) -> None:
        super().__init__(directory, boot_id=boot_id)
        self._held: list[CheckpointLock] = []

    def acquire(self, root: str, name: str, purpose: str, since: float) -> CheckpointLock | None:
        lock = super().acquire(root, name, purpose, since)
        if lock is not None:
            self._held.append(lock)
        return lock

    def die(self) -> None:
        for lock in self._held:
            lock.release()

    def held(self) -> list[str]:
        """The names of those that are held now."""
        return [os.path.basename(lock.path) for lock in self._held if lock.still_ours()]
