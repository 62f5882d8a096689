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
        same = (self._journal.get("instance"), self._journal.get("boot_id")) == (self._instance, self._boot_id)
        return not (same and self._committer.still_holds(held.epoch, held.nonce))

    def _new_trainer(self) -> bool:
        process = self._trainer()
        if process is None:
            return False
        now, before = trainer_text(process), self._journal.get("epoch_trainer")
        if before is None:
            self._journal.put("epoch_trainer", now)
        return before is not None and before != now

    def _take(self) -> HeldEpoch:
        # The order matters: sealed before the journal knows, so that a kill in between only burns an epoch.
        epoch = self._committer.take_epoch(self._boot_id, cut_short=self._cut_short)
        latest = self._committer.seal(epoch.epoch)
        behind = latest.rank.epoch if latest.rank is not None else 0
        before = self._journal.epoch()
        if before is not None:
            # What lies on this disk is no younger than the epoch that it was written beside, whoever has committed since.
            behind = min(behind, before.epoch)
        held = HeldEpoch(epoch.epoch, epoch.nonce, behind, self._runtime.now())
        self._journal.put("attempts_without_progress", str(epoch.attempts_without_progress))
        self._journal.put("instance", self._instance)
        self._journal.put("boot_id", self._boot_id)
        process = self._trainer()
        if process is not None:
            self._journal.put("epoch_trainer", trainer_text(process))
        self._journal.take_epoch(held, self._backlog())
        log.info("epoch %d taken; the backlog ranks in epoch %d", held.epoch, behind)
        return held
