"""What is committed in S3, seen from outside as any reader would: a manifest that is there is a checkpoint that is safe."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from runctl_agent.contract.keys import Keys
from runctl_agent.contract.manifest import Manifest
from runctl_agent.runtime import ThreadRuntime
from runctl_agent.store.catalog import Catalog, Listing
from runctl_agent.store.objects import ObjectStore

EVERY = 0.025
"""Seconds between two looks: by so much a latency may be shown too long."""


@dataclass(frozen=True, slots=True)
class Commit:
    """`latency`: seconds from the last byte of the finished file on the trainer's disk to the manifest seen in S3."""

    key: str
    manifest: Manifest
    latency: float


class Commits:
    """Looks in a thread of its own until stopped; `tell` is called once for each commit, in the order in which they came.

    What ends that thread is raised at the next question. Every question may raise StoreError.
    """

    def __init__(self, store: ObjectStore, keys: Keys, tell: Callable[[Commit], None]) -> None:
        self._catalog = Catalog(store, keys, ThreadRuntime())
        self._tell = tell
        self._seen: dict[str, Commit] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._watch, name="commits", daemon=True)

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
        listing = self.look()
        return self._seen[listing.ranked[0].key] if listing.ranked else None

    def look(self) -> Listing:
        """All that is there now; what is new is told."""
        with self._lock:
            listing = self._catalog.listing()
            now = time.time()
            for one in sorted(listing.ranked, key=lambda ranked: ranked.key):
                if one.key not in self._seen:
                    finished = max(file.mtime_ns for file in one.manifest.files) / 1e9
                    self._seen[one.key] = Commit(one.key, one.manifest, max(0.0, now - finished))
                    self._tell(self._seen[one.key])
            return listing

    def missing(self, listing: Listing) -> tuple[str, ...]:
        """What the manifests name and is not there as they say, one sentence each."""
        return tuple(reason for one in listing.ranked if (reason := self._catalog.missing(one.manifest)))

    def _watch(self) -> None:
        try:
            while not self._stop.wait(EVERY):
                self.look()
        except Exception as error:  # noqa: BLE001 - raised again in `seen`, in the caller
            self._error = error
