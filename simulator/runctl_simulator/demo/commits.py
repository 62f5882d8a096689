"""What is committed in S3, seen from outside as any reader would: a manifest that is there is a checkpoint that is safe."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from runctl_agent.contract.keys import Keys
from runctl_agent.runtime import ThreadRuntime
from runctl_agent.store.catalog import Catalog, Listing
from runctl_agent.store.objects import ObjectStore
from runctl_agent.store.outline import Outline

EVERY = 0.025
"""Seconds between two looks: by so much a latency may be shown too long."""


@dataclass(frozen=True, slots=True)
class Commit:
    """`latency`: seconds from the last byte of the finished file on the trainer's disk to the manifest seen in S3."""

    key: str
    manifest: Outline
    latency: float


@dataclass(frozen=True, slots=True)
class Audit:
    """The manifests' keys, those that can be read and those that can't, and what they name that is not there as they say."""

    readable: tuple[str, ...]
    unreadable: tuple[str, ...]
    missing: tuple[str, ...]


class Commits:
    """Looks in a thread of its own until stopped; `tell` is called once for each commit, in the order in which they came.

    What ends that thread is raised at the next question. Every question may raise StoreError.
    """

    def __init__(self, store: ObjectStore, keys: Keys, tell: Callable[[Commit], None]) -> None:
        self._store = store
        self._keys = keys
        self._catalog = self._new_catalog()
        self._tell = tell
        self._seen: dict[str, Commit] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._watch, name="commits", daemon=True)

    def _new_catalog(self) -> Catalog:
        return Catalog(self._store, self._keys, ThreadRuntime())

    def __enter__(self) -> Commits:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def seen(self) -> tuple[Commit, ...]:
        if self._error is not None:
            raise self._error
        return tuple(self._seen.values())

    def newest(self) -> Commit | None:
        """By rank, after one more look."""
        listing = self._look()
        return next((self._seen[one.key] for one in listing.ranked if one.key in self._seen), None)

    def audit(self) -> Audit:
        """What is there, asked anew: nothing that was read before is taken for granted."""
        catalog = self._new_catalog()
        listing = catalog.listing()
        missing = tuple(reason for one in listing.ranked if (reason := catalog.missing(one.manifest)))
        return Audit(tuple(one.key for one in listing.ranked), tuple(key for key, _ in listing.malformed), missing)

    def _look(self) -> Listing:
        """All that is there now; what is new is told."""
        with self._lock:
            listing = self._catalog.listing()
            now = time.time()
            for one in sorted(listing.ranked, key=lambda ranked: ranked.key):
                if one.key in self._seen:
                    continue
                manifest = self._catalog.whole(one)
                if not isinstance(manifest, str):  # else it was deleted since it was listed
                    finished = max(file.mtime_ns for file in manifest.files) / 1e9
                    commit = Commit(one.key, one.manifest, max(0.0, now - finished))
                    self._tell(commit)
                    self._seen[one.key] = commit
            return listing

    def _watch(self) -> None:
        try:
            while not self._stop.wait(EVERY):
                self._look()
        except Exception as error:  # noqa: BLE001 - raised again in `seen`, in the caller
            self._error = error
