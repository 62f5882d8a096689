"""`runctl-agent flush`: everything finished is durable, or why not. The journal's claims keep it apart from the daemon."""

from __future__ import annotations

from dataclasses import dataclass

from .contract.spec import Spec
from .errors import RunctlError, TimedOutError
from .machine import Machine
from .runtime import Runtime
from .sender import Sender
from .stages import gatherer_of, sender_of
from .store.commit import Committer
from .store.journal import Journal
from .store.rows import Newest

LOOK = 0.1


@dataclass(frozen=True, slots=True)
class Flushed:
    """What is durable now, and what is not; `problems` says why, in people's words."""

    commits: int
    newest: Newest | None
    pending_checkpoints: int
    pending_bytes: int
    problems: tuple[str, ...]


class Flush:
    """The daemon's own stages, driven by hand until nothing is left to do."""

    def __init__(self, runtime: Runtime, spec: Spec, machine: Machine, journal: Journal) -> None:
        self._runtime = runtime
        self._spec = spec
        self._machine = machine
        self._journal = journal
        self._filled = runtime.event()
        self._stager = machine.stager()
        self._locks = machine.locks()
        self._gatherer = gatherer_of(runtime, spec, self._stager, self._locks, journal, self._filled)

    def run(self, *, wait: bool) -> Flushed:
        """Without `wait` each checkpoint is tried once. Raises RunctlError where S3 can't be reached or refuses."""
        self._gather()
        reached = self._machine.reach()
        committer = Committer(reached.store, self._machine.keys, self._runtime, self._spec.run, reached.name)
        sender = sender_of(
            self._runtime,
            self._spec,
            self._machine.keys,
            self._journal,
            self._stager,
            self._locks,
            reached,
            committer,
            self._gatherer,
            boot_id=self._machine.boot_id,
            trainer=lambda: None,
            filled=self._filled,
        )
        self._send(sender, wait=wait)
        return self._flushed(sender)

    def _gather(self) -> None:
        """Read everything, and again until what is only quiet has been quiet for the settle time."""
        self._gatherer.recover()
        end = self._runtime.monotonic() + 2 * self._spec.settle + 1.0
        while not self._gatherer.quiet and self._runtime.monotonic() < end:
            self._gatherer.turn(LOOK)

    def _send(self, sender: Sender, *, wait: bool) -> None:
        while True:
            while sender.turn():
                self._gatherer.turn(0.0)
            if not wait or sender.refused or not self._journal.behind().checkpoints:
                return
            self._runtime.sleep(sender.pause() if sender.last_error else LOOK)

    def _flushed(self, sender: Sender) -> Flushed:
        pending, totals = self._journal.pending(), self._journal.totals()
        reasons = self._gatherer.problems()
        if self._gatherer.disk_full:
            reasons.append(self._gatherer.disk_full)
        reasons += [f"{row.staged.finished.name}: {row.error}" for row in pending.rows if row.error]
        if sender.last_error and not any(sender.last_error in reason for reason in reasons):
            reasons.append(sender.last_error)
        return Flushed(totals.commits, totals.newest, pending.checkpoints, pending.bytes, tuple(reasons))


def not_durable(flushed: Flushed) -> RunctlError:
    why = "; ".join(flushed.problems) or "another process is sending it"
    what = f"{flushed.pending_checkpoints} finished checkpoints ({flushed.pending_bytes} bytes) are not durable"
    if not flushed.pending_checkpoints:
        what = "not everything could be read"
    return TimedOutError(what, why, "mend that, then: runctl-agent flush --wait")
