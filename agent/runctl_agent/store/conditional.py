"""A put that lands only if nobody else's did, with its outcome decided by reading back.

An answer can be lost and a write can land late, so any answer but 200, and no answer, says nothing: the nonce in the
body tells whose document stands. A late copy of our own write does no harm: it carries the same body and the same
condition, and once another document stands, the condition no longer holds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from runctl_agent.errors import StoreError, StoreUnavailable
from runctl_agent.runtime import Runtime

from .objects import Got, ObjectStore
from .retry import ATTEMPTS, pause


def nonce_of(body: bytes) -> str | None:
    """The writer's mark in a JSON document; None where there is none.

    >>> nonce_of(b'{"nonce": "a"}'), nonce_of(b'{"nonce": ""}'), nonce_of(b"[" * 5), nonce_of(b"\\xff"), nonce_of(b"[]")
    ('a', None, None, None, None)
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    nonce = document.get("nonce") if isinstance(document, dict) else None
    return nonce if isinstance(nonce, str) and nonce else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Who won, and what stands now; `standing` is None only where the document to replace is gone."""

    won: bool
    standing: Got | None


def put_conditionally(
    store: ObjectStore, runtime: Runtime, key: str, body: bytes, nonce: str, *, if_match: str | None = None
) -> Outcome:
    """Write `body`, which carries `nonce`, if the key is absent, or still has the etag `if_match`.

    Raises StoreUnavailable when it could not be decided in a few attempts (the write may have landed), and what the
    store says where trying again can't mend it.
    """
    last: StoreError | None = None
    for failures in range(ATTEMPTS):
        if failures:
            pause(runtime, failures)
        try:
            etag = store.put(key, body, if_absent=if_match is None, if_match=if_match)
            return Outcome(True, Got(body, etag))
        except StoreError as error:
            last = error
        try:
            outcome = _decide(store.get(key), nonce, if_match)
        except StoreUnavailable as error:
            last = error
            continue
        if outcome is not None:
            return outcome
        if last.permanent:
            raise last
    raise StoreUnavailable(
        f"writing {key} was not decided in {ATTEMPTS} attempts", str(last), "nothing to do: it is tried again"
    ) from last


def _decide(standing: Got | None, nonce: str, if_match: str | None) -> Outcome | None:
    """Whose document stands; None: nobody's yet, try again."""
    if standing is None:
        return None if if_match is None else Outcome(False, None)
    if nonce_of(standing.body) == nonce:
        return Outcome(True, standing)
    if standing.etag == if_match:
        return None
    return Outcome(False, standing)
