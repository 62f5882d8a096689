"""From finished to journaled: staged under its lock, entered in the journal, and let go only for want of space."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Collection
from dataclasses import dataclass

from .disk.lock import Locks
from .disk.stage import Stager
from .errors import DiskShort, JournalError, RunctlError, SourceChanged
from .records import Finished, Staged
from .runtime import Runtime
from .store.journal import Journal

log = logging.getLogger(__name__)

Candidate = tuple[str, str]
"""(watched root, name)."""

RETRY = 5.0
"""Seconds until what could not be staged is tried again."""

TOLD = 120.0
"""Seconds for which it stays told that something was let go, so that it reaches the tags."""


@dataclass
class Owed:
    """A finished checkpoint that is not staged yet. Times are monotonic seconds."""

    finished: Finished
    next_try: float
    since: float


class Intake:
    """Used by the gatherer's task alone. `troubles` says what could not be staged, and why."""

    def __init__(
        self, runtime: Runtime, roots: Collection[str], stager: Stager, locks: Locks, journal: Journal, settle: float
    ) -> None:
        self._runtime = runtime
        self._roots = tuple(roots)
        self._stager = stager
        self._locks = locks
        self._journal = journal
        self._settle = settle
        self._owed: dict[Candidate, Owed] = {}
        self._let_go: set[Candidate] = set()
        self.troubles: dict[Candidate, RunctlError] = {}
        self.disk_full = ""
        self._told_until = 0.0

    @property
    def quiet(self) -> bool:
        """Everything that was offered is in the journal, and nothing was let go that may still lie on disk."""
        return not (self._owed or self._let_go)

    @property
    def held_open(self) -> tuple[str, ...]:
        """Why something is held by descriptors alone, if it is. From any task."""
        return (self._stager.held_open,) if self._stager.held_open else ()

    def owed(self) -> list[tuple[str, str, str]]:
        """(root, name, signature) of what is not in the journal yet."""
        return [(root, name, owed.finished.signature) for (root, name), owed in sorted(self._owed.items())]

    def next_try(self) -> float | None:
        return min((owed.next_try for owed in self._owed.values()), default=None)

    def offer(self, finished: Finished) -> None:
        """Take a finished checkpoint in; a newer content of the same name takes the place of the one that waits."""
        self._owed[finished.root, finished.name] = Owed(finished, 0.0, self._runtime.monotonic())

    def stage(self, rewritten: Collection[Candidate]) -> tuple[list[Finished], list[Candidate]]:
        """Stage what is due, oldest first. Returns what is journaled now, and what changed meanwhile and must be read again."""
        journaled: list[Finished] = []
        changed: list[Candidate] = []
        for candidate, owed in sorted(self._owed.items(), key=lambda item: item[1].finished.at):
            if owed.next_try > self._runtime.monotonic():
                continue
            try:
                done = self._stage(owed, copy=candidate in rewritten or self._was_rewritten(candidate))
            except SourceChanged as error:
                log.info("not staged, read again: %s", error)
                changed.append(candidate)
            except RunctlError as error:
                self._failed(candidate, owed, error)
                continue
            else:
                if not done:
                    continue
                journaled.append(owed.finished)
            del self._owed[candidate]
            self.troubles.pop(candidate, None)
        return journaled, changed

    def remember_rewritten(self, candidate: Candidate) -> None:
        """In the journal, for the agents after this one: only a copy holds what this name says."""
        self._journal.put(_fact(candidate), "yes")

    def keep_free(self) -> list[Candidate]:
        """Let superseded snapshots go while a disk is below `keep_free`; the newest complete one never.

        Returns what was let go before and may be staged again, once there is room.
        """
        short = [root for root in self._roots if self._stager.short_by(root) > 0]
        for root in short:
            while self._stager.short_by(root) > 0 and self._let_one_go(root):
                pass
        if any(self._stager.short_by(root) > 0 for root in short):
            self.disk_full = (
                self.disk_full or f"{short[0]}: less than staging.keep_free is free, and nothing superseded is staged"
            )
            return []
        again, self._let_go = sorted(self._let_go), set()
        troubled = again or any(isinstance(error, DiskShort) for error in self.troubles.values())
        if troubled or self._runtime.monotonic() < self._told_until:
            return again
        out = next((root for root in self._roots if self._stager.out_of_inodes(root)), "")
        self.disk_full = out and f"{out}: not one inode is left on its disk: no file can be made there"
        return again

    def _was_rewritten(self, candidate: Candidate) -> bool:
        return self._journal.get(_fact(candidate)) is not None

    def _stage(self, owed: Owed, *, copy: bool) -> bool:
        """False: its lock is held by another agent; later."""
        finished = owed.finished
        lock = self._locks.acquire(finished.root, finished.name, "stage", self._runtime.now())
        try:
            if lock is None and not self._passes(owed):
                owed.next_try = self._runtime.monotonic() + min(self._settle, 1.0)
                return False
            staged = self._stager.stage(finished, copy=copy, label=self._runtime.nonce())
            self._enter(staged)
            return True
        finally:
            if lock is not None:
                lock.release()

    def _passes(self, owed: Owed) -> bool:
        """Whether staging may go on without the lock: this agent holds it, for the content before; or a stranger does for
        longer than the settle time. The journal keeps it right either way."""
        finished = owed.finished
        holder = self._locks.holder(finished.root, finished.name)
        if holder is not None and holder.pid == os.getpid():
            return True
        if self._runtime.monotonic() - owed.since <= self._settle:
            return False
        log.warning("the lock of %s is held by a stranger for longer than %g s: bypassed", finished.name, self._settle)
        return True

    def _enter(self, staged: Staged) -> None:
        """Into the journal; what the journal has already, or can't take, is not held twice."""
        try:
            added = self._journal.add(staged, self._runtime.now())
        except JournalError:
            self._stager.release(staged)
            raise
        if added is None:
            self._stager.release(staged)
        else:
            self._stager.journaled(staged)

    def _failed(self, candidate: Candidate, owed: Owed, error: RunctlError) -> None:
        if str(self.troubles.get(candidate)) != str(error):
            log.warning("%s", error.full)
        self.troubles[candidate] = error
        if isinstance(error, DiskShort):
            self.disk_full = str(error)
            if self._let_one_go(candidate[0]):
                owed.next_try = 0.0
                return
        owed.next_try = self._runtime.monotonic() + RETRY

    def _let_one_go(self, root: str) -> bool:
        """Let the oldest superseded snapshot go whose end frees space; False: there is none."""
        for row in self._journal.superseded({root}):
            if self._stager.frees(row.staged) <= 0 or not self._journal.let_go(row.id, "the disk is short"):
                continue
            self._stager.release(row.staged)
            self._let_go.add((row.staged.finished.root, row.staged.finished.name))
            self.disk_full = f"{row.staged.finished.name} was let go before it was sent: less than staging.keep_free was free"
            self._told_until = self._runtime.monotonic() + TOLD
            log.warning("%s", self.disk_full)
            return True
        return False


def _fact(candidate: Candidate) -> str:
    return "rewritten " + hashlib.sha256(os.fsencode("/".join(candidate))).hexdigest()[:32]
