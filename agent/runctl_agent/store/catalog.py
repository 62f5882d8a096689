"""The manifests of a run, in rank order, and whether what they name is there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from runctl_agent.contract.keys import Keys, parse_manifest_key, snapshot
from runctl_agent.contract.malformed import Malformed
from runctl_agent.contract.manifest import Manifest, Order, decode_manifest, order
from runctl_agent.runtime import Runtime, run_pool

from .gc import SeenGc, read_gc
from .objects import ObjectStore
from .outline import DataObject, Outline, outline
from .retry import patiently

WIDTH = 8
READERS = 4
"""Manifests that are read at a time: of a large checkpoint each is megabytes."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A committed checkpoint; `key` is its manifest's, relative to the run. `Catalog.whole` has the manifest itself."""

    key: str
    manifest: Outline

    @property
    def order(self) -> Order:
        """Greater is newer."""
        return order(self.manifest.rank, self.key)


@dataclass(frozen=True, slots=True)
class Listing:
    """All manifests that are not condemned, highest rank first, and the (relative key, reason) of those that can't be read.

    `condemned`: relative keys of manifests that retention has yet to delete. Where `gc.json` can't be read, nothing is.
    """

    ranked: tuple[Ranked, ...]
    malformed: tuple[tuple[str, str], ...]
    condemned: tuple[str, ...] = ()


class Catalog:
    """Reads manifests, each once, for they are never rewritten; and keeps their outlines."""

    def __init__(self, store: ObjectStore, keys: Keys, runtime: Runtime) -> None:
        self._store = store
        self._keys = keys
        self._runtime = runtime
        self._decoding = runtime.lock()  # what is decoded takes several times the memory of its bytes: one at a time
        self._read: dict[str, Outline] = {}

    def listing(self, also: Iterable[str] = ()) -> Listing:
        """Every manifest that is listed, and those of the relative keys `also` that exist; but what is condemned is not read."""
        found = patiently(self._runtime, lambda: list(self._store.list(self._keys.manifests)))
        seen = read_gc(self._store, self._keys, self._runtime)
        malformed: dict[str, str] = {self._keys.relative(self._keys.gc): seen.damage} if seen.damage else {}
        everything = sorted({self._keys.relative(key) for key in found} | set(also))
        gone = {key for key in everything if is_condemned(seen, key)}
        relative = [key for key in everything if key not in gone]
        run_pool(
            self._runtime,
            "manifests",
            READERS,
            lambda key: self._load(key, malformed),
            [key for key in relative if key not in self._read],
        )
        self._read = {key: self._read[key] for key in relative if key in self._read}
        ranked = [Ranked(key, manifest) for key, manifest in self._read.items()]
        ranked.sort(key=lambda one: one.order, reverse=True)
        return Listing(tuple(ranked), tuple(sorted(malformed.items())), tuple(sorted(gone)))

    def _load(self, relative: str, malformed: dict[str, str]) -> None:
        got = patiently(self._runtime, lambda: self._store.get(self._keys.absolute(relative)))
        if got is None:
            return  # deleted since it was listed
        with self._decoding:
            read = self._outline(relative, got.body)
        if isinstance(read, Malformed):
            malformed[relative] = read.reason
        else:
            self._read[relative] = read

    def _outline(self, relative: str, body: bytes) -> Outline | Malformed:
        manifest = read_manifest(self._keys, relative, body)
        return manifest if isinstance(manifest, Malformed) else outline(manifest)

    def whole(self, one: Ranked) -> Manifest | str:
        """The manifest with its files' parts, read again; or why it can't be had."""
        got = patiently(self._runtime, lambda: self._store.get(self._keys.absolute(one.key)))
        if got is None:
            return f"{one.key} was deleted meanwhile"
        manifest = read_manifest(self._keys, one.key, got.body)
        if isinstance(manifest, Malformed):
            return f"{one.key} can't be read any more: {manifest.reason}"
        return manifest if outline(manifest) == one.manifest else f"{one.key} is another by now"

    def missing(self, manifest: Outline) -> str:
        """What is not as the manifest says, by a HEAD of each object: one sentence, empty if all is there."""
        reasons: list[str] = []

        def check(one: DataObject) -> None:
            if not reasons and (reason := self._fault(one)):
                reasons.append(reason)

        run_pool(self._runtime, "heads", WIDTH, check, manifest.objects)
        return min(reasons, default="")

    def _fault(self, one: DataObject) -> str:
        head = patiently(self._runtime, lambda: self._store.head(self._keys.absolute(one.object)))
        if head is None:
            return f"{one.object} is missing"
        if one.sized and head.size != one.stored:
            return f"{one.object} has {head.size} bytes, not {one.stored}"
        if head.crc is not None and head.crc != one.crc:
            return f"{one.object} has the CRC-32 {head.crc:08x}, not {one.crc:08x}"
        return ""


def is_condemned(seen: SeenGc, relative: str) -> bool:
    """Whether the manifest of this key is."""
    place = parse_manifest_key(relative)
    return not isinstance(place, Malformed) and seen.gc.condemns(snapshot(*place[:2]))


def read_manifest(keys: Keys, relative: str, body: bytes) -> Manifest | Malformed:
    """Decode a manifest and compare it with the key it lies under."""
    named = parse_manifest_key(keys.absolute(relative))
    if isinstance(named, Malformed):
        return named
    manifest = decode_manifest(body)
    if isinstance(manifest, Malformed):
        return manifest
    if manifest.run != keys.run:
        return Malformed(f"it is of the run {manifest.run!r}")
    if keys.manifest(manifest.epoch, manifest.seq, manifest.checkpoint) != keys.absolute(relative):
        return Malformed(
            f"it is of epoch {manifest.epoch}, seq {manifest.seq}, checkpoint {manifest.checkpoint!r}, not of its key"
        )
    return manifest
