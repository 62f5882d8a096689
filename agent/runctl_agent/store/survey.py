"""What there is of a run, for retention: what may go, and reasons to let nothing go. Only reads."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from runctl_agent.contract.gc import Pin
from runctl_agent.contract.keys import Keys
from runctl_agent.contract.manifest import Latest
from runctl_agent.contract.spec import Retention
from runctl_agent.errors import StoreError
from runctl_agent.runtime import Runtime

from .catalog import Catalog, Listing, Ranked
from .doomed import Cut, cut, doomed, name_of
from .epoch import EpochTaker
from .gc import SeenGc, read_gc
from .objects import ObjectStore
from .pins import read_pins
from .pointer import Pointer
from .seal import fenced


@dataclass(frozen=True, slots=True)
class Held:
    """The epoch that a pruner has taken, and its nonce."""

    epoch: int
    nonce: str


@dataclass(frozen=True, slots=True)
class Survey:
    """`doomed`: committed checkpoints that go; `doomed_pins`: the `<epoch>-<seq>` of others, which were never committed."""

    seen: SeenGc
    listing: Listing
    pins: tuple[Pin, ...]
    doomed: tuple[Ranked, ...]
    doomed_pins: tuple[str, ...]


class Surveyor:
    """Every method raises StoreError, with the reason, where it can't be told what may go: then nothing is deleted."""

    def __init__(self, store: ObjectStore, keys: Keys, runtime: Runtime) -> None:
        self._store = store
        self._keys = keys
        self._runtime = runtime
        self._catalog = Catalog(store, keys, runtime)
        self._epochs = EpochTaker(store, keys, runtime)
        self._pointer = Pointer(store, keys, runtime)

    def survey(self, retention: Retention, held: Held | None, pending: Collection[str]) -> Survey:
        """`held` None: for somebody who has no epoch, and deletes nothing. Raises Fenced too."""
        self.require(held)
        # First what is condemned and what latest names, then the lists: both only grow, so that what is seen dooms less.
        seen = self._gc(held)
        latest = self._latest(held)
        pins = self.pins()
        listing = self.listing()
        at = cut(listing.ranked, latest, retention)
        committed = {name_of(one) for one in listing.ranked}
        found = Survey(
            seen,
            listing,
            pins,
            doomed(listing.ranked, latest, retention),
            tuple(
                pin.snapshot
                for pin in pins
                if _goes(pin, at) and pin.snapshot not in committed | set(pending) and not seen.gc.condemns(pin.snapshot)
            ),
        )
        if found.doomed or found.doomed_pins:
            self._require_whole(listing, latest)
        return found

    def require(self, held: Held | None) -> None:
        """That `epoch.json` still bears it. Raises Fenced."""
        if held is None:
            return
        holder = self._epochs.holder()
        if holder is None:
            raise self._untouched(f"{self._keys.epoch} can't be read", "the run's next agent takes the next epoch")
        if (holder.epoch, holder.nonce) != (held.epoch, held.nonce):
            raise fenced(self._keys, holder.epoch, held.epoch)

    def pins(self) -> tuple[Pin, ...]:
        pins, damaged = read_pins(self._store, self._keys, self._runtime)
        for key, reason in damaged:
            raise self._untouched(f"what {key} holds can't be read: {reason}", f"if no agent writes to this run, delete {key}")
        return pins

    def listing(self) -> Listing:
        listing = self._catalog.listing()
        for relative, reason in listing.malformed:
            key = self._keys.absolute(relative)
            mend = f"a newer runctl may read it; if it is damaged, no restore can use it: delete {key}"
            raise self._untouched(f"what {key} says can't be read: {reason}", mend)
        return listing

    def _gc(self, held: Held | None) -> SeenGc:
        seen = read_gc(self._store, self._keys, self._runtime)
        if seen.damage:
            mend = f"make sure that no agent writes to this run, then put back an older version of {self._keys.gc}"
            raise self._untouched(f"{self._keys.gc} can't be read: {seen.damage}", mend)
        self._require_unfenced(held, seen.gc.fence)
        return seen

    def _latest(self, held: Held | None) -> Latest:
        pointed = self._pointer.read()
        self._require_unfenced(held, pointed.fence)
        if pointed.latest is None and pointed.etag is not None:
            raise self._untouched(f"{self._keys.latest} can't be read", "the next commit of its agent writes it anew")
        return pointed.latest or Latest(None, None, None, None, 0, "")

    def _require_whole(self, listing: Listing, latest: Latest) -> None:
        """What `latest` names: unless it is all there, what is older may be all there is."""
        newest = next((one for one in listing.ranked if one.key == latest.manifest), None)
        reason = "its manifest is not there" if newest is None else self._catalog.missing(newest.manifest)
        if reason:
            why = f"{latest.checkpoint!r}, which {self._keys.latest} names, is not whole: {reason}"
            raise self._untouched(why, "see what was deleted there; the run's next agent lets latest.json name another")

    def _require_unfenced(self, held: Held | None, fence: int) -> None:
        if held is not None and fence > held.epoch:
            raise fenced(self._keys, fence, held.epoch)

    def _untouched(self, why: str, mend: str) -> StoreError:
        return StoreError(f"nothing is deleted of {self._keys.run}", why, mend)


def _goes(pin: Pin, at: Cut) -> bool:
    """Of a checkpoint that was not committed, as one of a lost instance, and would go at once if it were."""
    return pin.rank is not None and at.dooms(pin.rank, pin.epoch, pin.seq)
