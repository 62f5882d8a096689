"""`latest.json`: reading it, and moving it by compare-and-swap. What it says is a hint; its fence is not."""

from __future__ import annotations

from dataclasses import dataclass

from runctl_agent.contract.keys import Keys
from runctl_agent.contract.malformed import Malformed
from runctl_agent.contract.manifest import Latest, decode_epoch, decode_latest, encode_latest
from runctl_agent.errors import StoreError
from runctl_agent.runtime import Runtime

from .catalog import Ranked
from .conditional import put_conditionally
from .objects import ObjectStore
from .retry import patiently


@dataclass(frozen=True, slots=True)
class Pointed:
    """What `latest.json` says now. `latest` is None if it is absent (`etag` None too) or can't be read."""

    latest: Latest | None
    etag: str | None
    fence: int


class Pointer:
    """The one place that writes `latest.json`; who may, is decided by sealing and committing."""

    def __init__(self, store: ObjectStore, keys: Keys, runtime: Runtime) -> None:
        self._store = store
        self._keys = keys
        self._runtime = runtime

    def read(self) -> Pointed:
        """Raises StoreError if neither `latest.json` nor `epoch.json` can tell the fence."""
        got = patiently(self._runtime, lambda: self._store.get(self._keys.latest))
        if got is None:
            return Pointed(None, None, 0)
        latest = decode_latest(got.body)
        if isinstance(latest, Malformed):
            return Pointed(None, got.etag, self._highest_fence(latest.reason))
        return Pointed(latest, got.etag, latest.fence)

    def _highest_fence(self, reason: str) -> int:
        """The epoch in `epoch.json`: a fence is only ever raised to an epoch that was taken."""
        got = patiently(self._runtime, lambda: self._store.get(self._keys.epoch))
        epoch = None if got is None else decode_epoch(got.body)
        if epoch is None or isinstance(epoch, Malformed):
            raise StoreError(
                f"{self._keys.latest} can't be read, nor {self._keys.epoch}, so nobody may move it",
                reason,
                f"make sure that no agent writes to this run, then delete {self._keys.latest}",
            )
        return epoch.epoch

    def swap(self, seen: Pointed, to: Ranked | None, fence: int) -> Latest | None:
        """Replace what was `seen`; None if another writer was faster."""
        latest = named(to, fence, self._runtime.nonce())
        body = encode_latest(latest)
        outcome = put_conditionally(self._store, self._runtime, self._keys.latest, body, latest.nonce, if_match=seen.etag)
        return latest if outcome.won else None


def named(to: Ranked | None, fence: int, nonce: str) -> Latest:
    """The document that names a checkpoint, or nothing yet."""
    if to is None:
        return Latest(None, None, None, None, fence, nonce)
    manifest = to.manifest
    return Latest(to.key, manifest.checkpoint, manifest.step, manifest.rank, fence, nonce)
