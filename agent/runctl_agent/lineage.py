"""Which epoch this agent writes under: taken by a new instance, a new boot, a new training process or a lost journal."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from .records import ProcessId
from .runtime import Runtime
from .store.commit import Committer
from .store.journal import HeldEpoch, Journal

log = logging.getLogger(__name__)

Backlog = Callable[[], Iterable[tuple[str, str, str]]]
"""What is on disk and not finished: (root, name, signature)."""


def trainer_text(process: ProcessId) -> str:
    return f"{process.pid}/{process.ticks}/{process.boot_id}"


def backlog_rank(epoch: int, named: int, before: int | None) -> int:
    """The rank epoch of what was on disk as `epoch` was taken. Pure.

    `named`: the rank epoch of what `latest` names, 0 if nothing; `before`: the epoch that the disk's journal held; None: it is
    new, or lost. What lies on a disk was written beside the epoch that it held, as what is in its journal was: less would put
    it before what is older on the same disk, more before what others have committed since.

    >>> backlog_rank(5, 3, 2), backlog_rank(5, 1, 2), backlog_rank(5, 3, None)
    (2, 2, 3)

    Where `epoch.json` and all that bore an epoch were deleted, no rank of the time before is believed:

    >>> backlog_rank(1, 0, 7)
    0
    """
    return named if before is None else min(before, epoch - 1)


class Lineage:
    """Keeps the journal's epoch current. Only the sender calls it."""

    def __init__(
        self,
        runtime: Runtime,
        journal: Journal,
        committer: Committer,
        instance: str,
        boot_id: str,
        *,
        backlog: Backlog,
        trainer: Callable[[], ProcessId | None],
        cut_short: bool = False,
    ) -> None:
        """`cut_short`: the attempt before this one was, as far as it is known."""
        self._cut_short = cut_short
        self._runtime = runtime
        self._journal = journal
        self._committer = committer
        self._instance = instance
        self._boot_id = boot_id
        self._backlog = backlog
        self._trainer = trainer
        self._proven = False

    def ensure(self) -> int:
        """The epoch to write under, taken and sealed if need be. Raises StoreError."""
        if not self._proven:
            self._committer.prove_conditional_writes()
        held = self._journal.epoch()
        if held is None or self._new_life(held) or self._new_trainer():
            held = self._take()
        self._proven = True
        return held.epoch

    def _new_life(self, held: HeldEpoch) -> bool:
        if self._proven:
            return False
        if (self._journal.get("instance"), self._journal.get("boot_id")) != (self._instance, self._boot_id):
            return True
        # Where another instance has taken the run, a restart of the agent is no reason to take it back.
        return not (self._committer.still_holds(held.epoch, held.nonce) or self._committer.overtaken(held.epoch))

    def _new_trainer(self) -> bool:
        process = self._trainer()
        if process is None:
            return False
        now, before = trainer_text(process), self._journal.get("epoch_trainer")
        if not before:
            self._journal.put("epoch_trainer", now)
        return bool(before) and before != now

    def _take(self) -> HeldEpoch:
        # The order matters: sealed before the journal knows, so that a kill in between only burns an epoch.
        epoch = self._committer.take_epoch(self._boot_id, cut_short=self._cut_short)
        latest = self._committer.seal(epoch.epoch)
        named = latest.rank.epoch if latest.rank is not None else 0
        before = self._journal.epoch()
        behind = backlog_rank(epoch.epoch, named, None if before is None else before.epoch)
        held = HeldEpoch(epoch.epoch, epoch.nonce, behind, self._runtime.now())
        self._journal.put("attempts_without_progress", str(epoch.attempts_without_progress))
        self._journal.put("instance", self._instance)
        self._journal.put("boot_id", self._boot_id)
        process = self._trainer()
        self._journal.take_epoch(held, self._backlog())
        # After it, or a journal that fails in between leaves the trainer known and its epoch not: fenced off by its own seal.
        # Nobody yet: whoever is started from now on is who this epoch was taken for.
        self._journal.put("epoch_trainer", trainer_text(process) if process is not None else "")
        log.info("epoch %d taken; the backlog ranks in epoch %d", held.epoch, behind)
        return held
