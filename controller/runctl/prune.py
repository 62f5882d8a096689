"""Delete what a run's retention lets go: by the run's agent while one lives, else here, in an epoch of our own."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from runctl_agent.contract.spec import Retention
from runctl_agent.contract.summary import age
from runctl_agent.contract.tags import Verb
from runctl_agent.errors import ConfigError, NotFoundError, WrongStateError
from runctl_agent.store.epoch import EpochTaker
from runctl_agent.store.probe import prove_conditional_writes
from runctl_agent.store.retain import Retainer
from runctl_agent.store.retained import Retained
from runctl_agent.store.survey import Held

from .ask import Asker
from .checkpoints import Committed, in_s3
from .documents import Pruned
from .fleet import Machine
from .resolve import Resolver, Target
from .shelf import Shelf

HOLDER = "runctl"
"""Who `epoch.json` says has the run, in the epoch that a prune takes."""

FRESH = 300.0
"""Seconds since its last heartbeat for which an agent of no instance seen here is taken to live: elsewhere, or outside EC2."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Pruning:
    """`what` goes, or went; `done` False: it would go."""

    run: str
    rows: tuple[Committed, ...]
    what: Retained
    done: bool

    @property
    def something(self) -> bool:
        return bool(self.rows or self.what.manifests or self.what.objects)

    def plain(self) -> Pruned:
        return {
            "run": self.run,
            "deleted": self.done,
            "checkpoints": [row.plain() for row in self.rows],
            "objects": self.what.objects,
            "bytes": self.what.bytes,
            "kept": [{"data": kept.name, "bytes": kept.bytes, "named_by": kept.by} for kept in self.what.kept],
        }


class Prune:
    """One command."""

    def __init__(self, resolver: Resolver, asker: Asker, target: Target, say: Say) -> None:
        """Raises ConfigError where the run keeps everything, WrongStateError where nobody can tell whether its agent lives."""
        self._runtime = resolver.runtime
        self._asker = asker
        self._say = say
        self._fleet = resolver.fleet
        self._destination = target.destination
        self._run = target.run
        self._shelf = resolver.shelf(target)
        keys = self._shelf.keys(self._run)
        self._shelf.store.check_bucket(keys.base)
        self._retainer = Retainer(self._shelf.store, keys, self._runtime, _retention(self._shelf, self._run))
        self._living()

    def plan(self) -> Pruning:
        """What would go now. Raises StoreError, with the reason, where nothing may go."""
        return self._pruning(self._retainer.plan(), done=False)

    def carry_out(self, planned: Pruning, timeout: float) -> Pruning:
        """Delete. Raises StoreError, WrongStateError, TimedOutError; what is left then goes the next time."""
        machine = self._living()  # again: while somebody thought about it, the run may have come back
        if machine is None:
            return self._pruning(self._prune(), done=True)
        seen = self._asker.ask(machine, Verb.PRUNE, timeout)
        if seen.power != "running":
            why = f"{seen.id} is {seen.power}: its agent may not have come to it"
            raise WrongStateError(f"{self._run} was not pruned", why, f"once it has ended: runctl prune {self._run}")
        return Pruning(self._run, planned.rows, planned.what, True)

    def _prune(self) -> Retained:
        store, keys = self._shelf.store, self._shelf.keys(self._run)
        prove_conditional_writes(store, keys, self._runtime)
        epoch = EpochTaker(store, keys, self._runtime).take(HOLDER, HOLDER, self._runtime.now())
        self._say(f"took epoch {epoch.epoch} of {self._run}: an agent of an earlier one deletes nothing any more")
        return self._retainer.run(Held(epoch.epoch, epoch.nonce))

    def _pruning(self, what: Retained, *, done: bool) -> Pruning:
        return Pruning(self._run, in_s3(self._shelf, self._run, what.condemned), what, done)

    def _living(self) -> Machine | None:
        """The instance whose agent is to do it. Raises WrongStateError where there is one that can't be asked."""
        machines = [one for one in self._fleet.of(self._run) if one.destination == self._destination]
        for machine in machines:
            if machine.power in ("pending", "running"):
                return machine
            if machine.power in ("stopping", "shutting-down"):
                raise self._not_now(f"{machine.id} is {machine.power}, and its agent may still write")
        self._require_silent({machine.id for machine in machines})
        return None

    def _require_silent(self, ended: Collection[str]) -> None:
        """The agent that was heard last, if it is of none of the instances `ended`: EC2 here does not show every one."""
        state = self._shelf.status(self._run)
        if state is None or state.instance in ended:
            return
        silent = self._runtime.now() - state.heartbeat
        if silent < FRESH:
            heard = age(max(0, int(silent)))
            raise self._not_now(f"EC2 does not show its newest instance here, and the agent of that was heard {heard} ago")

    def _not_now(self, why: str) -> WrongStateError:
        return WrongStateError(f"{self._run} was not pruned", why, f"once it has ended: runctl prune {self._run}")


def _retention(shelf: Shelf, run: str) -> Retention:
    spec = shelf.spec(run)
    if spec is None:
        where = shelf.url_of(shelf.keys(run).run_spec)
        raise NotFoundError(
            f"{run} was not pruned", f"there is no {where}, which says what is kept", "check the run's name and --destination"
        )
    if not spec.retention.wanted:
        raise ConfigError(
            f"{run} was not pruned",
            "its spec has no retention: every checkpoint is kept",
            "give a run one at its launch: `retention: {keep_last: 3}` in the file of --config",
        )
    return spec.retention
