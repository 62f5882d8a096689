"""Retention: the only deleter of manifests, of data and of pins. `ORDER` is the order of its steps, and why it is safe:

1. CONDEMN: the doomed MUST be added to `gc.json`, by compare-and-swap, before anything of them is deleted. Entries are for
   ever: whoever lists ignores the condemned, so that a manifest that lands late, or again, is none; and whoever is about to
   name their data (`pins.py`) reads `gc.json` after its pin stands, and sends it instead.
2. MANIFESTS: theirs are deleted before their data, so that at no moment a manifest stands whose data retention has taken.
3. PINS MUST be listed after 1: who read `gc.json` before it has a pin that stands by now.
4. NAMED: manifests MUST be listed after the pins: a pin that is gone by then was of a checkpoint that is committed by now.
5. DATA of the condemned that neither names is deleted, object by object; a pin holds all of a checkpoint's.
6. UNPIN: pins whose checkpoint is committed, and so names its data itself, or is condemned.

Each step may be done again, by anybody; a run that ends in the middle leaves in `gc.json` what the next one goes on with.
Before each of them `epoch.json` MUST still bear the epoch of whoever deletes, and `gc.json` bears the highest epoch that
condemned or entered (`fence`), which no lower one gets past. The model in tests/models/retention.py runs this very ORDER.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from runctl_agent.contract.gc import Gc
from runctl_agent.contract.keys import Keys, parse_snapshot
from runctl_agent.contract.spec import Retention
from runctl_agent.errors import StoreUnavailable
from runctl_agent.runtime import Runtime, run_pool

from .doomed import name_of
from .gc import read_gc, swap_gc
from .objects import ObjectStore
from .retained import Holding, Kept, Retained, holdings
from .retry import patiently, pause
from .survey import Held, Survey, Surveyor

log = logging.getLogger(__name__)

WIDTH = 8
BATCH = 64
"""Deletions between two looks at whether to go on."""
RACES = 20

GoOn = Callable[[int], bool]
"""Whether so many more may be deleted now."""


class Step(StrEnum):
    CONDEMN = "condemn"
    MANIFESTS = "manifests"
    PINS = "pins"
    NAMED = "named"
    DATA = "data"
    UNPIN = "unpin"


ORDER = tuple(Step)


class _Interrupted(Exception):
    """Somebody has something better to do."""


@dataclass
class _Work:
    """What one run knows. `held` None: a plan, which deletes nothing."""

    held: Held | None
    pending: frozenset[str]
    go_on: GoOn
    found: Survey
    sizes: dict[str, int] = field(default_factory=dict)
    emptied: set[str] = field(default_factory=set)
    kept: list[Kept] = field(default_factory=list)
    manifests: int = 0
    freed: list[int] = field(default_factory=list)

    @property
    def gc(self) -> Gc:
        return self.found.seen.gc

    def report(self, *, finished: bool) -> Retained:
        condemned = self.found.doomed
        return Retained(condemned, self.manifests, len(self.freed), sum(self.freed), tuple(self.kept), finished)


class Retainer:
    """One task at a time."""

    def __init__(self, store: ObjectStore, keys: Keys, runtime: Runtime, retention: Retention) -> None:
        self._store = store
        self._keys = keys
        self._runtime = runtime
        self._retention = retention
        self._surveyor = Surveyor(store, keys, runtime)
        self._may_delete = False
        self._settled: dict[str, Holding] = {}  # what was left of the condemned when last looked at
        self._steps: dict[Step, Callable[[_Work], None]] = {
            Step.CONDEMN: self._condemn,
            Step.MANIFESTS: self._delete_manifests,
            Step.PINS: self._list_pins,
            Step.NAMED: self._list_manifests,
            Step.DATA: self._delete_data,
            Step.UNPIN: self._unpin,
        }

    def enter(self, epoch: int) -> None:
        """Let nobody of a lower epoch condemn anything from now on. Raises StoreError."""
        for race in range(RACES):
            if race:
                pause(self._runtime, race)
            seen = read_gc(self._store, self._keys, self._runtime)
            if seen.damage or seen.gc.fence >= epoch:
                return  # one that can't be read is swapped by nobody
            if swap_gc(self._store, self._keys, self._runtime, seen, replace(seen.gc, fence=epoch)) is not None:
                return
        raise self._lost()

    def run(self, held: Held, *, pending: Collection[str] = (), go_on: GoOn = lambda count: True) -> Retained:
        """Apply the retention, as the holder of the epoch. `pending`: what the caller may still commit (`<epoch>-<seq>`), whose
        pins stay whatever their rank. `go_on` is asked before each batch; what is left then is done by the next run.

        Raises Fenced, and StoreError where it is refused, or can't tell what may go: then nothing more is deleted.
        """
        work = self._begin(held, pending, go_on)
        try:
            for step in ORDER:
                self._steps[step](work)
            self._note_emptied(work)
        except _Interrupted:
            return work.report(finished=False)
        return work.report(finished=True)

    def plan(self) -> Retained:
        """What a run would do now; nothing is written. Raises StoreError."""
        work = self._begin(None, (), lambda count: True)
        work.manifests = len(work.found.doomed) + len(work.found.listing.condemned)
        gc = self._condemning(work)
        staying = tuple(one for one in work.found.listing.ranked if not gc.condemns(name_of(one)))
        listing = replace(work.found.listing, ranked=staying)
        work.found = replace(work.found, seen=replace(work.found.seen, gc=gc), listing=listing)
        self._delete_data(work)
        return work.report(finished=True)

    def _begin(self, held: Held | None, pending: Collection[str], go_on: GoOn) -> _Work:
        work = _Work(held, frozenset(pending), go_on, self._surveyor.survey(self._retention, held, pending))
        self._learn_sizes(work)
        return work

    # --- the steps ---

    def _condemn(self, work: _Work) -> None:
        for race in range(RACES):
            if race:
                pause(self._runtime, race)
                work.found = self._surveyor.survey(self._retention, work.held, work.pending)
            if not work.found.doomed and not work.found.doomed_pins:
                return
            self._require_right()
            self._surveyor.require(work.held)
            swapped = swap_gc(self._store, self._keys, self._runtime, work.found.seen, self._condemning(work))
            if swapped is not None:
                work.found = replace(work.found, seen=swapped)
                for one in work.found.doomed:
                    log.info("condemned %s, step %d (%s)", one.manifest.checkpoint, one.manifest.step, name_of(one))
                return
        raise self._lost()

    def _condemning(self, work: _Work) -> Gc:
        names = [*map(name_of, work.found.doomed), *work.found.doomed_pins]
        fence = max(work.gc.fence, work.held.epoch if work.held is not None else 0)
        return replace(work.gc, fence=fence, condemned=work.gc.condemning(names), left=work.gc.left | set(names))

    def _delete_manifests(self, work: _Work) -> None:
        keys = dict.fromkeys([*(one.key for one in work.found.doomed), *work.found.listing.condemned])
        self._delete(work, list(map(self._keys.absolute, keys)))
        work.manifests += len(keys)

    def _list_pins(self, work: _Work) -> None:
        work.found = replace(work.found, pins=self._surveyor.pins())

    def _list_manifests(self, work: _Work) -> None:
        work.found = replace(work.found, listing=self._surveyor.listing())
        self._learn_sizes(work)

    def _delete_data(self, work: _Work) -> None:
        held = holdings(work.found.listing.ranked, work.found.pins, work.gc)
        for name in sorted(work.gc.left):
            holding = held.get(name, Holding())
            if holding.named and self._settled.get(name) == holding:
                self._keep(work, name, holding, holding.named)
            else:
                self._delete_data_of(work, name, holding)

    def _delete_data_of(self, work: _Work, name: str, holding: Holding) -> None:
        prefix = self._keys.data_prefix(*parse_snapshot(name))
        there = patiently(self._runtime, lambda: [self._keys.relative(key) for key in self._store.list(prefix)])
        staying = [key for key in there if holding.holds(key)]
        self._delete(work, [self._keys.absolute(key) for key in there if not holding.holds(key)], data=True)
        if staying:
            self._keep(work, name, holding, staying)
        else:
            work.emptied.add(name)

    def _keep(self, work: _Work, name: str, holding: Holding, objects: Collection[str]) -> None:
        if work.held is not None:
            self._settled[name] = holding
        work.kept.append(Kept(name, sum(work.sizes.get(key, 0) for key in objects), holding.by))

    def _unpin(self, work: _Work) -> None:
        committed = {name_of(one) for one in work.found.listing.ranked}
        done = [pin for pin in work.found.pins if pin.snapshot in committed or work.gc.condemns(pin.snapshot)]
        self._delete(work, [self._keys.pin(pin.epoch, pin.seq) for pin in done])

    def _note_emptied(self, work: _Work) -> None:
        """So that the next run need not look there. If another writer was faster, the next run notes it."""
        left = work.gc.left - work.emptied
        if left != work.gc.left:
            self._surveyor.require(work.held)
            swap_gc(self._store, self._keys, self._runtime, work.found.seen, replace(work.gc, left=left))
        self._settled = {name: holding for name, holding in self._settled.items() if name in left}

    # --- deleting ---

    def _delete(self, work: _Work, keys: Sequence[str], *, data: bool = False) -> None:
        def act(key: str) -> None:
            size = self._size(work, key) if data else 0
            if work.held is not None:
                patiently(self._runtime, lambda: self._store.delete(key))
            if data:
                work.freed.append(size)

        for first in range(0, len(keys), BATCH):
            batch = keys[first : first + BATCH]
            if not work.go_on(len(batch)):
                raise _Interrupted
            self._surveyor.require(work.held)
            run_pool(self._runtime, "deletes", WIDTH, act, batch)

    def _learn_sizes(self, work: _Work) -> None:
        """While the manifests are there that tell them."""
        work.sizes |= {data.object: data.stored for one in work.found.listing.ranked for data in one.manifest.objects}

    def _size(self, work: _Work, key: str) -> int:
        """Bytes of an object; asked for only where the manifest that told it is gone."""
        known = work.sizes.get(self._keys.relative(key))
        if known is not None:
            return known
        head = patiently(self._runtime, lambda: self._store.head(key))
        return 0 if head is None else head.size

    def _require_right(self) -> None:
        """Nothing is condemned that then can't be deleted."""
        if not self._may_delete:
            patiently(self._runtime, lambda: try_to_delete(self._store, self._keys))
            self._may_delete = True

    def _lost(self) -> StoreUnavailable:
        return StoreUnavailable(f"{self._keys.gc} was lost to another writer {RACES} times", "too many writers at once")


def try_to_delete(store: ObjectStore, keys: Keys) -> None:
    """The right to delete, by doing: a key that can't exist, for epochs begin at 1. Raises StoreRefused."""
    store.delete(keys.pin(0, 0))
