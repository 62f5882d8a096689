"""What the agent has on its own machine, the real thing on a real disk: journal, staging, locks. Killed, and out of room."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from runctl_agent.disk.lock import CheckpointLock, Locks, lock_file_name
from runctl_agent.disk.stage import Stager
from runctl_agent.errors import DiskShort, JournalError
from runctl_agent.records import FileId, Finished
from runctl_agent.store.journal import Journal
from tests.simulation.ports import Stepping
from tests.simulation.seeded import Seeded


class NotedJournal(Journal):
    """The real one. `uploads`: the multipart uploads that it was ever told of; `gone` hears the name of what is let go."""

    def __init__(
        self, path: str, *, owner: str, lock: AbstractContextManager[object], uploads: set[str], gone: Callable[[str], None]
    ) -> None:
        super().__init__(path, owner=owner, alive=lambda other: other == owner, lock=lock)
        self._uploads = uploads
        self._gone = gone
        # Nobody else opens it while it is open, and no simulated machine's disk forgets what was written and not synced.
        for pragma in ("locking_mode = EXCLUSIVE", "synchronous = OFF"):
            self._database._connection.execute(f"PRAGMA {pragma}")

    def start_upload(self, row_id: int, path: str, key: str, upload_id: str, *rest: Any) -> None:
        super().start_upload(row_id, path, key, upload_id, *rest)
        self._uploads.add(upload_id)

    def let_go(self, row_id: int, reason: str) -> bool:
        """For want of room: never the newest complete one."""
        with self._database.read() as connection:
            newest, name = connection.execute(
                """SELECT (SELECT id FROM rows WHERE state <> 'dropped' AND complete
                ORDER BY weights DESC, finished_at DESC, id DESC LIMIT 1), name FROM rows WHERE id = ?""",
                (row_id,),
            ).fetchone()
        assert newest != row_id, f"{os.fsdecode(name)} is let go, and is the newest"
        done = super().let_go(row_id, reason)
        if done:
            self._gone(os.fsdecode(name))
        return done


class SimJournal(Stepping):
    """The journal on a disk that may be without a byte."""

    READS = frozenset(
        {"get", "epoch", "known", "behind", "sending", "pending", "queue", "directories", "superseded", "totals", "trouble"}
        | {"mark", "pending_up_to", "files", "owed_aborts", "stored_before", "stored_possible", "stored_alike"}
    )

    def __init__(self, inner: Journal, runtime: Seeded, full: Callable[[], bool]) -> None:
        super().__init__(inner, runtime)
        self._full = full

    def __getattr__(self, name: str) -> Any:
        call = super().__getattr__(name)
        if not callable(call) or name in self.READS:
            return call

        def written(*arguments: Any, **options: Any) -> Any:
            if self._full():
                raise JournalError("the journal can't be used", "database or disk is full")
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
        self._descriptors.close_all()


class SlowStager(Stepping):
    """Between a file's opening and its reading time goes by, on a disk that others use too."""

    def __getattr__(self, name: str) -> Any:
        if name == "out_of_inodes":
            return getattr(self._inner, name)  # a number of the file system's, at every look: nobody waits for it
        call = super().__getattr__(name)
        if name != "open":
            return call

        def opened(*arguments: Any) -> Any:
            descriptor = call(*arguments)
            if (roll := self._runtime.random()) < 0.3:
                self._runtime.sleep(0.3 * roll)
            return descriptor

        setattr(self, name, opened)
        return opened


class KillableLocks(Locks):
    """Locks that the kernel frees when their holder is killed, as it does with flock."""

    def __init__(self, directory: str, boot_id: str) -> None:
        super().__init__(directory, boot_id=boot_id)
        self._held: list[CheckpointLock] = []
        self.shared: set[str] = set()
        """What this agent itself held as it asked for it."""

    def acquire(self, root: str, name: str, purpose: str, since: float) -> CheckpointLock | None:
        lock = super().acquire(root, name, purpose, since)
        if lock is not None:
            self._held.append(lock)
        elif (file := lock_file_name(os.path.join(os.path.realpath(root), name))) in self.held():
            self.shared.add(file)
        return lock

    def die(self) -> None:
        for lock in self._held:
            lock.release()

    def held(self) -> list[str]:
        """The names of those that are held now."""
        return [os.path.basename(lock.path) for lock in self._held if lock.still_ours()]
