"""The proof, on `probe.json`, that the store keeps the conditions that commits and fencing rest on."""

from __future__ import annotations

import json

from runctl_agent.contract.keys import Keys
from runctl_agent.errors import PreconditionFailed, StoreRefused
from runctl_agent.runtime import Runtime

from .objects import ObjectStore
from .retry import patiently

NO_SUCH_ETAG = '"00000000000000000000000000000000"'


def prove_conditional_writes(store: ObjectStore, keys: Keys, runtime: Runtime) -> None:
    """Return if the store refuses a second `If-None-Match: *` and an `If-Match` on another etag; leaves only `probe.json`.

    Raises StoreRefused if it accepts one. An object of an earlier proof is as good: then the first write is the refused one.
    """
    body = json.dumps({"nonce": runtime.nonce()}).encode()

    def refused(*, if_absent: bool = False, if_match: str | None = None) -> bool:
        return patiently(runtime, lambda: _refuses(store, keys.probe, body, if_absent=if_absent, if_match=if_match))

    first = refused(if_absent=True)
    if patiently(runtime, lambda: store.get(keys.probe)) is None:
        raise _unproven(f"{keys.probe} was {'refused' if first else 'written'}, and is not there: is this an S3 at all?")
    if not first and not refused(if_absent=True):
        raise _unproven("a second write with If-None-Match: * was accepted")
    if not refused(if_match=NO_SUCH_ETAG):
        raise _unproven("a write with If-Match on an etag that was never given was accepted")


def _refuses(store: ObjectStore, key: str, body: bytes, *, if_absent: bool, if_match: str | None) -> bool:
    try:
        store.put(key, body, if_absent=if_absent, if_match=if_match)
    except PreconditionFailed:
        return True
    return False


def _unproven(why: str) -> StoreRefused:
    return StoreRefused(
        "this store ignores conditional writes, so the agent commits nothing",
        why,
        "use Amazon S3, or a server that implements If-None-Match and If-Match on PutObject",
    )
