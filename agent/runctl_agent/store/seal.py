"""Sealing: after an epoch was taken, `latest.json` names the highest rank that verifies, and keeps older writers out."""

from __future__ import annotations

from runctl_agent.contract.keys import Keys
from runctl_agent.contract.manifest import Latest
from runctl_agent.errors import Fenced, StoreUnavailable
from runctl_agent.runtime import Runtime

from .catalog import Catalog, Ranked
from .objects import ObjectStore
from .pointer import Pointed, Pointer, named
from .retry import pause

RACES = 20


class Sealer:
    def __init__(self, store: ObjectStore, keys: Keys, runtime: Runtime) -> None:
        self._keys = keys
        self._runtime = runtime
        self._catalog = Catalog(store, keys, runtime)
        self._pointer = Pointer(store, keys, runtime)

    def seal(self, epoch: int) -> Latest:
        """Raises Fenced if a higher epoch has sealed already; StoreUnavailable."""
        for race in range(RACES):
            if race:
                pause(self._runtime, race)
            seen = self._pointer.read()
            if seen.fence > epoch:
                raise fenced(self._keys, seen.fence, epoch)
            best = self._highest(seen)
            if seen.latest is not None and seen.latest == named(best, epoch, seen.latest.nonce):
                return seen.latest
            latest = self._pointer.swap(seen, best, epoch)
            if latest is not None:
                return latest
        raise StoreUnavailable(f"{self._keys.latest} was lost to another writer {RACES} times", "too many writers at once")

    def _highest(self, seen: Pointed) -> Ranked | None:
        """The highest complete checkpoint whose data is there. What `latest` names is among the candidates, so that it
        gives way to a lower rank only if it does not verify itself."""
        also = [seen.latest.manifest] if seen.latest is not None and seen.latest.manifest is not None else []
        candidates = (one for one in self._catalog.listing(also).ranked if one.manifest.complete)
        return next((one for one in candidates if not self._catalog.missing(one.manifest)), None)


def fenced(keys: Keys, fence: int, epoch: int) -> Fenced:
    return Fenced(
        f"{keys.latest} is fenced at epoch {fence}, above this agent's {epoch}",
        "a newer writer has this run",
        "nothing to do: what is saved here is committed all the same; end this instance if the other one is meant to go on",
    )
