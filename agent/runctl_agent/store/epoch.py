"""Taking an epoch: the fencing token that says who writes to a run now.

An epoch is taken with `If-None-Match: *` where there is none, else with `If-Match` on the one before. It is never lower
than what any key of the run bears: after a damaged or deleted `epoch.json` the whole run is listed for that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from runctl_agent.contract.keys import LAST_EPOCH, Keys
from runctl_agent.contract.malformed import Malformed
from runctl_agent.contract.manifest import Epoch, decode_epoch, decode_latest, encode_epoch
from runctl_agent.errors import StoreError, StoreUnavailable
from runctl_agent.runtime import Runtime

from .conditional import put_conditionally
from .objects import Got, ObjectStore
from .retry import patiently, pause

RACES = 20
"""Lost races after which the store's answers are not believed any more."""

MARKED = re.compile(r"(?:data|manifests|pins|history|logs)/(\d{6})[-/]")
"""How every key that belongs to an epoch begins, relative to the run."""


def _carried(before: Epoch) -> int:
    return before.attempts_without_progress


class EpochTaker:
    """`problems` says what was found damaged on the way, for people."""

    def __init__(self, store: ObjectStore, keys: Keys, runtime: Runtime) -> None:
        self._store = store
        self._keys = keys
        self._runtime = runtime
        self.problems: list[str] = []

    def take(self, instance: str, boot_id: str, since: float, attempts: Callable[[Epoch], int] = _carried) -> Epoch:
        """`attempts`: of the epoch before, how many attempts have been without progress since.

        Raises StoreUnavailable, also after a lost answer: an epoch taken without knowing is only burnt."""
        for race in range(RACES):
            if race:
                pause(self._runtime, race)
            got = patiently(self._runtime, lambda: self._store.get(self._keys.epoch))
            before, holder = self._before(got)
            if before >= LAST_EPOCH:
                raise StoreError(f"{self._keys.epoch} is at epoch {before}, the last there is", mend="use another run name")
            mine = Epoch(before + 1, self._runtime.nonce(), instance, boot_id, 0 if holder is None else attempts(holder), since)
            outcome = put_conditionally(
                self._store,
                self._runtime,
                self._keys.epoch,
                encode_epoch(mine),
                mine.nonce,
                if_match=None if got is None else got.etag,
            )
            if outcome.won:
                return mine
        raise StoreUnavailable(f"{self._keys.epoch} was lost to another writer {RACES} times", "too many writers at once")

    def holder(self) -> Epoch | None:
        """Who writes now; None if `epoch.json` is absent or can't be read."""
        got = patiently(self._runtime, lambda: self._store.get(self._keys.epoch))
        epoch = None if got is None else decode_epoch(got.body)
        return None if isinstance(epoch, Malformed) else epoch

    def _before(self, got: Got | None) -> tuple[int, Epoch | None]:
        """The epoch to exceed, and who held it, if that can be read."""
        if got is None:
            return max(self._fence(), self._highest_in_keys()), None
        epoch = decode_epoch(got.body)
        if not isinstance(epoch, Malformed):
            return max(epoch.epoch, self._fence()), epoch
        before = max(self._fence(), self._highest_in_keys(), _claimed(got.body))
        self.problems.append(
            f"{self._keys.epoch} could not be read ({epoch.reason}): went on from epoch {before}, found in the keys"
        )
        return before, None

    def _fence(self) -> int:
        got = patiently(self._runtime, lambda: self._store.get(self._keys.latest))
        latest = None if got is None else decode_latest(got.body)
        return 0 if latest is None or isinstance(latest, Malformed) else latest.fence

    def _highest_in_keys(self) -> int:
        def highest() -> int:
            relative = (self._keys.relative(key) for key in self._store.list(self._keys.base))
            return max((int(m[1]) for m in map(MARKED.match, relative) if m), default=0)

        return patiently(self._runtime, highest)


def _claimed(body: bytes) -> int:
    """The epoch that a damaged document still shows, 0 if none.

    >>> _claimed(b'{"epoch": 7}'), _claimed(b'{"epoch": "7"}'), _claimed(b"{"), _claimed(b'{"epoch": 1e99}')
    (7, 0, 0, 0)
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return 0
    epoch = document.get("epoch") if isinstance(document, dict) else None
    return epoch if type(epoch) is int and 0 < epoch < LAST_EPOCH else 0
