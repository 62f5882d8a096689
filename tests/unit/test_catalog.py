"""What is kept of a run's manifests: not their parts, and never more than one manifest whole."""

from __future__ import annotations

import gc
import tracemalloc
from dataclasses import replace

import pytest

from runctl_agent.contract.manifest import Manifest, ManifestFile, Part, encode_manifest
from runctl_agent.runtime import ThreadRuntime
from runctl_agent.store.catalog import Catalog
from runctl_agent.store.outline import DataObject, outline
from runctl_agent.store.piece import digest_of_parts
from tests.fakes.manifests import KEYS, OwnNonces, committed, manifest_of
from tests.fakes.memory_store import MemoryStore

CHECKPOINTS, PARTS = 40, 1000


def large(seq: int) -> Manifest:
    """Of a thousand parts."""
    manifest = manifest_of(f"checkpoint-{seq}", seq, {"model.safetensors": b"x"}, seq=seq)
    digests = [f"{seq:032x}{number:032x}" for number in range(PARTS)]
    parts = tuple(Part(number, 1, f"blake3:{digest}") for number, digest in enumerate(digests))
    file = replace(manifest.files[0], size=PARTS, digest=digest_of_parts(digests), parts=parts)
    return replace(manifest, files=(file,))


def living() -> int:
    """Parts in memory. To be asked only while no other thread runs: what one is just building must not be looked at."""
    return sum(isinstance(one, Part) for one in gc.get_objects())


def peak(store: MemoryStore) -> int:
    """Bytes that a listing takes at the most."""
    tracemalloc.start()
    try:
        Catalog(store, KEYS, ThreadRuntime()).listing()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    for seq in range(1, CHECKPOINTS + 1):
        store.put(KEYS.manifest(1, seq, f"checkpoint-{seq}"), encode_manifest(large(seq)))
    return store


def test_no_parts_are_kept_and_each_manifest_is_read_once(store: MemoryStore) -> None:
    catalog = Catalog(store, KEYS, ThreadRuntime())
    before = living()
    for _ in range(2):
        listing = catalog.listing()
        assert [one.manifest.step for one in listing.ranked] == list(range(CHECKPOINTS, 0, -1))
        assert living() == before
    assert store.count("get") == CHECKPOINTS + 2, "gc.json is read every time"


def test_many_manifests_take_little_more_memory_than_one(store: MemoryStore) -> None:
    alone = MemoryStore()
    key = KEYS.manifest(1, 1, "checkpoint-1")
    alone.objects[key] = store.objects[key]
    assert peak(store) < 2 * peak(alone)


def test_the_whole_manifest_is_read_again(store: MemoryStore) -> None:
    catalog = Catalog(store, KEYS, OwnNonces())
    newest = catalog.listing().ranked[0]
    assert catalog.whole(newest) == large(CHECKPOINTS)


def test_an_outline_knows_what_each_object_takes_and_what_only_the_parts_tell() -> None:
    plain = manifest_of("checkpoint-1", 1, {"a": b"a" * 5000, "b": b""}, part=1000)
    packed = manifest_of("checkpoint-1", 1, {"a": b"a" * 5000}, part=1000, encoding="zstd")
    for manifest in (plain, packed):
        wanted = tuple(DataObject(file.object, file.stored, file.crc, True) for file in manifest.files)
        assert (outline(manifest).objects, outline(manifest).size, outline(manifest).unknown) == (wanted, manifest.size, "")
    assert outline(packed).objects[0].stored < 5000

    first: ManifestFile = plain.files[0]
    later = replace(first, parts=(replace(first.parts[0], digest="blake4:" + "0" * 64), *first.parts[1:]))
    assert "digest algorithm of 'a' is not known" in outline(replace(plain, files=(later, plain.files[1]))).unknown
    assert not outline(replace(plain, files=(replace(first, encoding="brotli"),))).objects[0].sized


def test_what_changed_since_it_was_listed_is_not_taken_for_the_same() -> None:
    store = MemoryStore()
    manifest = committed(store, manifest_of("checkpoint-1", 1))
    catalog = Catalog(store, KEYS, OwnNonces())
    (one,) = catalog.listing().ranked
    key = KEYS.manifest(1, 1, "checkpoint-1")
    store.put(key, encode_manifest(replace(manifest, nonce="another")))
    assert catalog.whole(one) == "manifests/000001-00000001-checkpoint-1.json is another by now"
    store.put(key, b"{")
    assert "can't be read any more: " in str(catalog.whole(one))
    store.delete(key)
    assert catalog.whole(one) == "manifests/000001-00000001-checkpoint-1.json was deleted meanwhile"
