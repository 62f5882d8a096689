"""A run's name belongs to whoever writes its `run.json` first; `launch.json` beside it says with which ClientToken.

Order: `run.json` must stand before `launch.json`, and both before RunInstances: an instance never lives without its run.
"""

from __future__ import annotations

from runctl_agent.contract.spec import Spec, encode_run
from runctl_agent.errors import PreconditionFailed, WrongStateError
from runctl_agent.runtime import Runtime

from .launched import Launched, encode_launched
from .shelf import Shelf, Standing, launch_key

RECENT = 60.0
"""Seconds in which an instance that was launched may not be seen yet: reads of EC2 are eventually consistent."""


class Claim:
    """What this very command wrote, so that it alone is taken back."""

    def __init__(self, shelf: Shelf, run: str) -> None:
        self._shelf = shelf
        self._run = run
        self._keys = shelf.keys(run)
        self._mine: list[tuple[str, bytes]] = []
        self._before: tuple[bytes, str] | None = None  # what `launch.json` said, and the etag of what stands now

    def new(self, spec: Spec, launched: Launched) -> None:
        """Raises WrongStateError where the name is taken; of two equal launches `launch.json` tells who was first."""
        try:
            self._put(self._keys.run_spec, encode_run(spec))
            self._put(launch_key(self._keys), encode_launched(launched))
        except WrongStateError:
            self._mine.clear()
            raise

    def next(self, standing: Standing, launched: Launched) -> None:
        """The next attempt of a run. Raises WrongStateError where another command begins one at the same time."""
        etag = self._replace(encode_launched(launched), standing.etag)
        self._before = (encode_launched(standing.launched), etag)

    def again(self, launched: Launched) -> None:
        """The same attempt, by another RunInstances. Raises WrongStateError where it is no longer this command's."""
        body = encode_launched(launched)
        if self._before is not None:
            before, etag = self._before
            self._before = (before, self._replace(body, etag))
            return
        key, ours = self._mine[-1]
        got = self._shelf.store.get(key)
        if got is None or got.body != ours:
            raise under_way(self._run)
        self._mine.append((key, body))
        self._replace(body, got.etag)

    def _replace(self, body: bytes, etag: str) -> str:
        """`launch.json`, if it still is what had `etag`; decided by reading back, for an answer may be lost."""
        key = launch_key(self._keys)
        try:
            return self._shelf.store.put(key, body, if_match=etag)
        except PreconditionFailed as error:
            got = self._shelf.store.get(key)
            if got is None or got.body != body:
                raise under_way(self._run) from error
            return got.etag

    def take_back(self) -> None:
        """As if nothing had been asked. Raises StoreError."""
        store = self._shelf.store
        if self._before is not None:
            body, etag = self._before
            store.put(launch_key(self._keys), body, if_match=etag)
        for key, body in reversed(self._mine):
            got = store.get(key)
            if got is not None and got.body == body:
                store.delete(key)

    def _put(self, key: str, body: bytes) -> None:
        """Decided by reading back, for an answer may be lost: `run.json` has the code's hash, `launch.json` a token."""
        store = self._shelf.store
        self._mine.append((key, body))
        try:
            store.put(key, body, if_absent=True)
        except PreconditionFailed as error:
            got = store.get(key)
            if got is None or got.body != body:
                raise taken(self._shelf, self._run) from error


def taken(shelf: Shelf, run: str) -> WrongStateError:
    return WrongStateError(
        f"there is a run {run} already",
        f"something lies under {shelf.url_of(shelf.keys(run).base)}",
        f"its next attempt: runctl resume {run}; another run: --run NAME",
    )


def under_way(run: str) -> WrongStateError:
    return WrongStateError(
        f"{run} was not launched", "another command launches its next attempt at this moment", f"runctl status {run}"
    )


def recent(standing: Standing, runtime: Runtime) -> bool:
    """Whether an instance may be under way that can't be seen yet."""
    return abs(runtime.now() - standing.launched.at) < RECENT
