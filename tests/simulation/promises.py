"""The promises of DESIGN.md section 1, as invariants over the simulated S3."""

from __future__ import annotations

from runctl_agent.contract.gc import Gc, decode_gc, spans
from runctl_agent.contract.keys import Keys, parse_manifest_key, snapshot, snapshot_of
from runctl_agent.contract.malformed import Malformed
from runctl_agent.contract.manifest import Latest, Manifest, Order, decode_latest, decode_manifest, order
from runctl_agent.contract.pieces import put_together
from runctl_agent.contract.spec import Retention
from tests.fakes.memory_store import MemoryStore
from tests.simulation.trainers import Content, History, Stood, digest

LATENCY = 1.0
"""Virtual seconds: what stood for longer beside a living agent that gets every hint must have been caught."""

REWRITTEN = "last.pt"
"""Rewritten in place: until that was seen once it is held by a hard link, which can't keep the content (DESIGN.md section 4)."""


class Promises:
    """Looks at everything in the store; raises AssertionError at the step at which a promise is broken."""

    def __init__(self, store: MemoryStore, keys: Keys, history: History, retention: Retention | None = None) -> None:
        self.store = store
        self.keys = keys
        self.history = history
        self.retention = retention or Retention()
        self._gc = Gc()
        self.manifests: dict[str, Manifest] = {}
        self._etags: dict[str, str] = {}
        self._calls = -1
        self._highest: Order | None = None

    def at_every_step(self) -> None:
        if len(self.store.calls) == self._calls:
            return
        self._calls = len(self.store.calls)
        self._condemned_stays_so()
        self._nothing_is_overwritten_or_deleted()
        for key in self.store.objects:
            if key.startswith(self.keys.manifests) and key not in self.manifests and not self._is_condemned(key):
                self.manifests[key] = self._whole(key)
        self._nothing_dangles()
        self._latest_never_goes_back()

    def _condemned_stays_so(self) -> None:
        stored = self.store.objects.get(self.keys.gc)
        gc = Gc() if stored is None else decode_gc(stored.body)
        assert isinstance(gc, Gc), gc
        assert gc == self._gc or self.retention.wanted, "nobody asked for retention"
        assert gc.condemning(()) == spans([*gc.condemned, *self._gc.condemned]), "what was condemned is not any more"
        assert gc.fence >= self._gc.fence
        self._gc = gc

    def _is_condemned(self, key: str) -> bool:
        place = parse_manifest_key(key)
        return not isinstance(place, Malformed) and self._gc.condemns(snapshot(*place[:2]))

    def _nothing_dangles(self) -> None:
        """What can be read is whole: neither a reference nor `latest` leads to what retention took."""
        for key, manifest in self.manifests.items():
            if not self._is_condemned(key):
                assert key in self.store.objects, f"{key} was deleted and not condemned"
                for file in manifest.files:
                    assert self.keys.absolute(file.object) in self.store.objects, f"{key} names {file.object}, which is gone"

    def _nothing_is_overwritten_or_deleted(self) -> None:
        """But what is condemned."""
        for key, etag in list(self._etags.items()):
            owner = snapshot_of(self.keys.relative(key))
            if key not in self.store.objects and (self._gc.condemns(owner) if owner else self._is_condemned(key)):
                del self._etags[key]
                continue
            assert self.store.objects[key].etag == etag, f"{key} was overwritten"
        for key, stored in self.store.objects.items():
            if key.startswith((self.keys.manifests, f"{self.keys.base}data/")):
                self._etags[key] = stored.etag

    def _whole(self, key: str) -> Manifest:
        """A checkpoint exists if its manifest does: every byte is there, and is what the trainer wrote."""
        manifest = decode_manifest(self.store.objects[key].body)
        assert isinstance(manifest, Manifest), f"{key}: {manifest}"
        for file in manifest.files:
            stored = self.store.objects.get(self.keys.absolute(file.object))
            assert stored is not None, f"{key} names {file.object}, which is not there"
            assert digest(stored.body, file.parts[0].size if file.parts else 0) == file.digest
        content = content_of(manifest)
        if manifest.complete:
            assert self.history.knows(manifest.checkpoint, content), f"{key} is half a checkpoint"
        for other in self.manifests.values():
            assert (other.checkpoint, content_of(other)) != (manifest.checkpoint, content), f"{key} was sent twice"
        return manifest

    def _latest_never_goes_back(self) -> None:
        stored = self.store.objects.get(self.keys.latest)
        if stored is None:
            return
        latest = decode_latest(stored.body)
        assert isinstance(latest, Latest), latest
        if latest.manifest is None or latest.rank is None:
            assert self._highest is None
            return
        named = self.manifests[self.keys.absolute(latest.manifest)]
        assert named.complete
        assert not self._is_condemned(self.keys.absolute(latest.manifest)), "latest names what is condemned"
        now = order(latest.rank, latest.manifest)
        assert self._highest is None or now >= self._highest, "latest went back"
        self._highest = now

    def at_the_end(self, alive: dict[int, list[tuple[float, float]]], lost: set[int]) -> None:
        """Nothing that was complete on disk is lost: what still stands is committed, and what stood beside a living agent.

        `alive`: when each machine had an agent that got every hint; `lost`: machines that were taken away.
        """
        have = [(m.checkpoint, content_of(m)) for m in self.manifests.values()]
        named: set[tuple[int, str]] = set()
        for one in self.history.stood:
            first, rewritten = (one.machine, one.name) not in named, one.name == REWRITTEN
            named.add((one.machine, one.name))
            beside = _was_beside(one, alive.get(one.machine, [])) and not (first and rewritten)
            must = one.machine not in lost and (one.until is None or beside)
            assert not must or (one.name, one.content) in have, f"{one.name} of {one.since} to {one.until} was lost"
        complete = [key for key, m in self.manifests.items() if m.complete]
        assert complete, "nothing was committed"
        kept = [key for key in complete if not self._is_condemned(key)]
        assert len(kept) >= min(len(complete), self.retention.keep_last or len(complete)), "retention took too many"

    def logged(self, machine: int) -> bytes:
        """What S3 has of the log of one machine, whatever epochs it wrote under."""
        found = b""
        for epoch in range(1, 1 + max((int(key.split("/")[3]) for key in self.store.list(f"{self.keys.base}logs/")), default=0)):
            series = self.keys.log(epoch, "training.log")
            keys = {key: offset for key in self.store.list(series.prefix) if (offset := series.offset(key)) is not None}
            found += put_together((offset, self.store.objects[key].body) for key, offset in keys.items())
        return b"".join(line for line in found.splitlines(keepends=True) if line.startswith(b"machine %d:" % machine))

    def latest_is_the_newest(self) -> None:
        """Where nobody was fenced: who is fenced moves no pointer, and what he commits is found by restore, not by `latest`."""
        highest = max(order(m.rank, self.keys.relative(key)) for key, m in self.manifests.items() if m.complete)
        assert highest == self._highest, "latest does not name the newest"


def content_of(manifest: Manifest) -> Content:
    return {file.path: file.digest for file in manifest.files}


def _was_beside(one: Stood, alive: list[tuple[float, float]]) -> bool:
    if one.until is None:
        return True
    return any(began <= one.since and one.since + LATENCY <= min(one.until, ended) for began, ended in alive)
