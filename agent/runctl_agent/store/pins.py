"""Pins: what a checkpoint that is about to be committed will name of others' data, so that retention leaves it.

The order, which `retain.py` has from the other end:

1. The pin MUST stand in S3 before `gc.json` is read: whoever condemns after that lists the pin before it deletes.
2. `gc.json` MUST be read before the manifest is put; what it condemns MUST be sent instead of named.
3. A pin MUST only grow while its checkpoint may still be committed, and MUST be written by compare-and-swap: a manifest,
   or a pin, of an earlier try may still land, with what that try named.

A pin goes when its checkpoint is committed, or condemned itself; only retention deletes it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from runctl_agent.contract.gc import Pin, decode_pin, encode_pin
from runctl_agent.contract.keys import Keys
from runctl_agent.contract.malformed import Malformed
from runctl_agent.contract.manifest import Rank
from runctl_agent.errors import StoreUnavailable
from runctl_agent.runtime import Runtime, run_pool

from .conditional import put_conditionally
from .gc import read_gc
from .objects import ObjectStore
from .retry import patiently, pause

RACES = 20
WIDTH = 8


class Pins:
    def __init__(self, store: ObjectStore, keys: Keys, runtime: Runtime) -> None:
        self._store = store
        self._keys = keys
        self._runtime = runtime

    def hold(
        self,
        epoch: int,
        seq: int,
        names: Collection[str],
        *,
        through: Mapping[str, Collection[str]] | None = None,
        rank: Rank | None = None,
    ) -> frozenset[str]:
        """Pin the data of the checkpoints `names` (`<epoch>-<seq>`) for the checkpoint (`epoch`, `seq`); which of them are
        condemned, and must be sent instead. To be asked before every commit that names others' data, again after an error.

        `through`: for a name, the committed checkpoints whose manifests name the same objects and from which the caller knows
        them. Those are asked about instead: while they stand, what they name stands, even of a condemned checkpoint.
        `rank` of the checkpoint: without it, its pin stays for ever if it is never committed. Raises StoreError.
        """
        if not names:
            return frozenset()
        if not self._pinned(epoch, seq, frozenset(names), rank):
            return frozenset(names)
        # After the pin, never before: what is condemned later finds the pin.
        seen = read_gc(self._store, self._keys, self._runtime)
        if seen.damage:
            return frozenset(names)
        known_by = through or {}
        return frozenset(name for name in names if any(map(seen.gc.condemns, known_by.get(name, (name,)))))

    def _pinned(self, epoch: int, seq: int, names: frozenset[str], rank: Rank | None) -> bool:
        """Whether the pin stands; not if one that can't be read is in its place, which is left, for what it names."""
        key = self._keys.pin(epoch, seq)
        for race in range(RACES):
            if race:
                pause(self._runtime, race)
            got = patiently(self._runtime, lambda: self._store.get(key))
            before = None if got is None else decode_pin(got.body)
            if isinstance(before, Malformed):
                return False
            pin = Pin(epoch, seq, names, rank, self._runtime.nonce())
            if before is not None:
                pin = replace(pin, names=names | before.names, rank=rank or before.rank)
                if replace(pin, nonce=before.nonce) == before:
                    return True
            outcome = put_conditionally(
                self._store, self._runtime, key, encode_pin(pin), pin.nonce, if_match=None if got is None else got.etag
            )
            if outcome.won:
                return True
        raise StoreUnavailable(f"{key} was lost to another writer {RACES} times", "too many writers at once")


def read_pins(store: ObjectStore, keys: Keys, runtime: Runtime) -> tuple[tuple[Pin, ...], tuple[tuple[str, str], ...]]:
    """Every pin that stands, and the (key, reason) of those that can't be read. Raises StoreError."""
    found = patiently(runtime, lambda: list(store.list(keys.pins)))
    pins: dict[str, Pin] = {}
    damaged: dict[str, str] = {}

    def read(key: str) -> None:
        got = patiently(runtime, lambda: store.get(key))
        if got is None:
            return  # deleted since it was listed
        pin = decode_pin(got.body)
        if isinstance(pin, Malformed):
            damaged[key] = pin.reason
        elif key != keys.pin(pin.epoch, pin.seq):
            damaged[key] = f"it is of {pin.snapshot}, not of its key"
        else:
            pins[key] = pin

    run_pool(runtime, "pins", WIDTH, read, found)
    return tuple(pin for _, pin in sorted(pins.items())), tuple(sorted(damaged.items()))
