"""`gc.json`: which checkpoints are condemned. Read by whoever lists or references, swapped by retention alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

from runctl_agent.contract.gc import Gc, decode_gc, encode_gc
from runctl_agent.contract.keys import Keys
from runctl_agent.contract.malformed import Malformed
from runctl_agent.runtime import Runtime

from .conditional import put_conditionally
from .objects import ObjectStore
from .retry import patiently


@dataclass(frozen=True, slots=True)
class SeenGc:
    """What `gc.json` says now. `etag` is None if it is absent: then nothing is condemned. `damage`: why it can't be read."""

    gc: Gc
    etag: str | None
    damage: str = ""


def read_gc(store: ObjectStore, keys: Keys, runtime: Runtime) -> SeenGc:
    """Raises StoreError."""
    got = patiently(runtime, lambda: store.get(keys.gc))
    if got is None:
        return SeenGc(Gc(), None)
    gc = decode_gc(got.body)
    if isinstance(gc, Malformed):
        return SeenGc(Gc(), got.etag, gc.reason)
    return SeenGc(gc, got.etag)


def swap_gc(store: ObjectStore, keys: Keys, runtime: Runtime, seen: SeenGc, gc: Gc) -> SeenGc | None:
    """Replace what was `seen`; None if another writer was faster. Raises StoreError."""
    mine = replace(gc, nonce=runtime.nonce())
    outcome = put_conditionally(store, runtime, keys.gc, encode_gc(mine), mine.nonce, if_match=seen.etag)
    return SeenGc(mine, outcome.standing.etag) if outcome.won and outcome.standing is not None else None
