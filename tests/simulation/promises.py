"""The promises of DESIGN.md section 1, as invariants over the simulated S3."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection
from typing import Any

from runctl_agent.contract.gc import Gc, decode_gc, spans
from runctl_agent.contract.keys import Keys, parse_manifest_key, snapshot, snapshot_of
from runctl_agent.contract.malformed import Malformed
from runctl_agent.contract.manifest import Epoch, Latest, Manifest, Order, decode_epoch, decode_latest, decode_manifest, order
from runctl_agent.contract.pieces import put_together
from runctl_agent.contract.spec import Retention
from tests.fakes.memory_store import MemoryStore, StoredObject
from tests.simulation.trainers import Content, History, Stood, digest

LATENCY = 1.0
"""Virtual seconds: what stood for longer beside a living agent that gets every hint must have been caught."""

REWRITTEN = frozenset({"last.pt", "best.pt"})
"""Rewritten in place: until that was seen once they are held by a link, which can't keep the content (DESIGN.md section 4)."""


class Recorded(dict[str, StoredObject]):
    """The objects of a store, which notes what changed."""

    def __init__(self, before: dict[str, StoredObject]) -> None:
        super().__init__(before)
        self.changed: set[str] = set(before)

    def __setitem__(self, key: str, value: StoredObject) -> None:
        self.changed.add(key)
        super().__setitem__(key, value)

    def pop(self, key: str, *default: Any) -> Any:
        self.changed.add(key)
        return super().pop(key, *default)


class Promises:
    """Looks at what changed in the store; raises AssertionError at the step at which a promise is broken.

    `damaged`: keys that S3 itself wrote otherwise than it was told, and that may be written anew.
    """

    def __init__(
        self,
        store: MemoryStore,
        keys: Keys,
        history: History,
        retention: Retention | None = None,
        damaged: Collection[str] = (),
    ) -> None:
        self.store = store
        self.keys = keys
        self.history = history
        self.retention = retention or Retention()
        self.manifests: dict[str, Manifest] = {}
        self._too_late: dict[str, Manifest] = {}
        self._damaged = damaged
        self._objects = store.objects = Recorded(store.objects)
        self._gc = Gc()
        self._etags: dict[str, str] = {}
        self._named_by: dict[str, set[str]] = defaultdict(set)
        self._highest: Order | None = None
        self._fence = 0
        self._epoch = 0

    def at_every_step(self) -> None:
        if not self._objects.changed:
            return
        changed, self._objects.changed = sorted(self._objects.changed), set()
        if self.keys.gc in changed:
            self._condemned_stays_so()
        for key in changed:
            if key not in self._objects:
                self._may_be_gone(key)
            elif key.startswith((self.keys.manifests, f"{self.keys.base}data/")):
                self._is_not_overwritten(key)
        for key in changed:
            if key in self._objects and key.startswith(self.keys.manifests) and key not in self.manifests:
                if self._is_condemned(key):
                    self._comes_too_late(key)
                else:
                    self._commits(key, self._whole(key))
        if self.keys.epoch in changed:
            self._epoch_rises()
        if self.keys.latest in changed or self.keys.gc in changed:
            self._latest_never_goes_back()

    def _condemned_stays_so(self) -> None:
        gc = decode_gc(self._objects[self.keys.gc].body)
        assert isinstance(gc, Gc), gc
        assert gc == self._gc or self.retention.wanted, "nobody asked for retention"
        assert gc.condemning(()) == spans([*gc.condemned, *self._gc.condemned]), "what was condemned is not any more"
        assert gc.fence >= self._gc.fence
        self._gc = gc

    def _is_condemned(self, key: str) -> bool:
        place = parse_manifest_key(key)
        return not isinstance(place, Malformed) and self._gc.condemns(snapshot(*place[:2]))

    def _may_be_gone(self, key: str) -> None:
        """Nothing that can be read leads to what retention took, and nothing else is ever deleted."""
        self._etags.pop(key, None)
        owner = snapshot_of(self.keys.relative(key))
        condemned = self._gc.condemns(owner) if owner else self._is_condemned(key)
        assert condemned or key.startswith(f"{self.keys.base}pins/"), f"{key} was deleted and not condemned"
        for manifest in self._named_by[key]:
            assert self._is_condemned(manifest), f"{manifest} names {key}, which is gone"

    def _is_not_overwritten(self, key: str) -> None:
        etag = self._objects[key].etag
        assert self._etags.setdefault(key, etag) == etag or self._may_be_mended(key), f"{key} was overwritten"
        self._etags[key] = etag

    def _may_be_mended(self, key: str) -> bool:
        return key in self._damaged and not any(named in self._objects for named in self._named_by[key])

    def _commits(self, key: str, manifest: Manifest) -> None:
        self.manifests[key] = manifest
        for file in manifest.files:
            self._named_by[self.keys.absolute(file.object)].add(key)

    def _comes_too_late(self, key: str) -> None:
        """Retention had condemned it, by its pin, before it was committed: as if it had been committed and taken."""
        manifest = decode_manifest(self._objects[key].body)
        assert isinstance(manifest, Manifest), f"{key}: {manifest}"
        self._too_late[key] = manifest

    def _whole(self, key: str) -> Manifest:
        """A checkpoint exists if its manifest does: every byte is there, and is what the trainer wrote."""
        manifest = decode_manifest(self._objects[key].body)
        assert isinstance(manifest, Manifest), f"{key}: {manifest}"
        for file in manifest.files:
            stored = self._objects.get(self.keys.absolute(file.object))
            assert stored is not None, f"{key} names {file.object}, which is not there"
            assert digest(stored.body, file.parts[0].size if file.parts else len(stored.body)) == file.digest, (
                f"{key}: {file.object} does not verify"
            )
            assert stored.crc == file.crc, f"{key}: {file.object} has another checksum"
        content = content_of(manifest)
        if manifest.complete:
            written = self.history.times(manifest.checkpoint, content)
            assert written, f"{key} is half a checkpoint"
            before = sum((m.checkpoint, content_of(m)) == (manifest.checkpoint, content) for m in self.manifests.values())
            assert before < written, f"{key} was sent twice"
        return manifest

    def _epoch_rises(self) -> None:
        epoch = decode_epoch(self._objects[self.keys.epoch].body)
        assert isinstance(epoch, Epoch), epoch
        assert epoch.epoch > self._epoch, "an epoch was taken twice"
        self._epoch = epoch.epoch

    def _latest_never_goes_back(self) -> None:
        stored = self._objects.get(self.keys.latest)
        if stored is None:
            return
        latest = decode_latest(stored.body)
        assert isinstance(latest, Latest), latest
        assert self._fence <= latest.fence <= self._epoch, "the fence is lower, or of an epoch that nobody took"
        self._fence = latest.fence
        if latest.manifest is None or latest.rank is None:
            assert self._highest is None, "latest names nothing any more"
            return
        named = self.manifests[self.keys.absolute(latest.manifest)]
        assert named.complete, "latest names what is not complete"
        assert not self._is_condemned(self.keys.absolute(latest.manifest)), "latest names what is condemned"
        now = order(latest.rank, latest.manifest)
        assert now == order(named.rank, latest.manifest), "latest says another rank than the manifest"
        assert self._highest is None or now >= self._highest, "latest went back"
        self._highest = now

    def ever(self) -> list[Manifest]:
        """All that was ever committed."""
        return [*self.manifests.values(), *self._too_late.values()]

    def committed(self, one: Stood) -> bool:
        return any((m.checkpoint, content_of(m)) == (one.name, one.content) for m in self.ever())

    def missing(self, machine: int) -> list[Stood]:
        """What is complete on its disk, and not committed."""
        there = (one for one in self.history.stood if one.machine == machine and one.until is None)
        return [one for one in there if not self.committed(one)]

    def at_the_end(
        self, alive: dict[int, list[tuple[float, float]]], lost: set[int], excused: Callable[[Stood], bool] = lambda one: False
    ) -> None:
        """Nothing that was complete on disk is lost: what still stands is committed, and what stood beside a living agent.

        `alive`: when each machine had an agent that got every hint; `lost`: machines that were taken away; `excused`: of what
        has gone, what that agent could not hold.
        """
        seen: set[tuple[int, str]] = set()
        for one in self.history.stood:
            beside = _was_beside(one, alive.get(one.machine, [])) and not excused(one)
            name = one.machine, one.name
            held = one.until is None or (beside and (one.name not in REWRITTEN or name in seen))
            must = one.machine not in lost and held
            assert not must or self.committed(one), f"{one.name} of {one.since} to {one.until} was lost"
            if beside:
                seen.add(name)
        complete = [key for key, m in self.manifests.items() if m.complete]
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

    @property
    def newest(self) -> str | None:
        """The key of the complete checkpoint of the highest rank that is not condemned."""
        kept = {key: m for key, m in self.manifests.items() if m.complete and not self._is_condemned(key)}
        return max(kept, key=lambda key: order(kept[key].rank, self.keys.relative(key)), default=None)

    def latest_is_the_newest(self) -> None:
        """Where nobody was fenced: who is fenced moves no pointer, and what he commits is found by restore, not by `latest`."""
        newest = self.newest
        highest = order(self.manifests[newest].rank, self.keys.relative(newest)) if newest is not None else None
        assert highest == self._highest, "latest does not name the newest"


def content_of(manifest: Manifest) -> Content:
    return {file.path: file.digest for file in manifest.files}


def _was_beside(one: Stood, alive: list[tuple[float, float]]) -> bool:
    if one.until is None:
        return True
    return any(began <= one.since and one.since + LATENCY <= min(one.until, ended) for began, ended in alive)
