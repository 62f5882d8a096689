from __future__ import annotations

import pytest

from runctl_agent.contract.gc import Gc, encode_gc
from runctl_agent.contract.keys import snapshot
from runctl_agent.contract.manifest import Epoch, Latest, Manifest, decode_latest, encode_epoch, encode_latest, encode_manifest
from runctl_agent.errors import Fenced, StoreError, StoreUnavailable
from runctl_agent.store.catalog import Ranked
from runctl_agent.store.objects import ObjectStore
from runctl_agent.store.outline import outline
from runctl_agent.store.pointer import named
from runctl_agent.store.retry import ATTEMPTS
from runctl_agent.store.seal import Sealer
from tests.fakes.manifests import KEYS, OwnNonces, manifest_of, put_data
from tests.fakes.memory_store import MemoryStore
from tests.fakes.store_faults import SomebodyElseFirst


def seal(store: ObjectStore, epoch: int) -> Latest:
    return Sealer(store, KEYS, OwnNonces()).seal(epoch)


def put(store: ObjectStore, manifest: Manifest) -> str:
    """A checkpoint that is there in full; returns its manifest's relative key."""
    put_data(store, manifest)
    key = KEYS.manifest(manifest.epoch, manifest.seq, manifest.checkpoint)
    store.put(key, encode_manifest(manifest))
    return KEYS.relative(key)


def latest_of(store: ObjectStore) -> Latest:
    got = store.get(KEYS.latest)
    assert got is not None
    latest = decode_latest(got.body)
    assert isinstance(latest, Latest)
    return latest


def test_an_empty_run_is_sealed_with_a_pointer_to_nothing() -> None:
    store = MemoryStore()
    sealed = seal(store, 1)
    assert sealed == latest_of(store)
    assert (sealed.manifest, sealed.checkpoint, sealed.step, sealed.rank, sealed.fence) == (None, None, None, None, 1)
    assert list(store.list("")) == [KEYS.latest]


def test_the_highest_rank_is_named_not_the_last_written() -> None:
    store = MemoryStore()
    high = put(store, manifest_of("checkpoint-900", 900, seq=1))
    put(store, manifest_of("checkpoint-100", 100, seq=2))
    put(store, manifest_of("config.json", 9000, seq=3, weights=False, kind="file", files={"config.json": b"{}"}))
    assert seal(store, 2).manifest == high
    assert latest_of(store).fence == 2


def test_the_backlog_of_a_later_epoch_does_not_beat_an_earlier_epochs_own() -> None:
    store = MemoryStore()
    own = put(store, manifest_of("checkpoint-10", 10, epoch=2, seq=1))
    put(store, manifest_of("checkpoint-5000", 5000, epoch=3, seq=1, rank_epoch=0))
    assert seal(store, 4).manifest == own


def test_an_incomplete_checkpoint_is_never_named() -> None:
    store = MemoryStore()
    whole = put(store, manifest_of("checkpoint-1", 1, seq=1))
    put(store, manifest_of("checkpoint-2", 2, seq=2, complete=False))
    assert seal(store, 2).manifest == whole


@pytest.mark.parametrize("damage", ["missing", "short", "other content"])
def test_a_checkpoint_whose_data_is_not_there_is_not_named(damage: str) -> None:
    store = MemoryStore()
    good = put(store, manifest_of("checkpoint-1", 1, seq=1))
    bad = manifest_of("checkpoint-2", 2, seq=2)
    put(store, bad)
    key = KEYS.absolute(bad.files[0].object)
    if damage == "missing":
        store.delete(key)
    else:
        store.put(key, b"x" if damage == "short" else b"x" * bad.files[0].size)
    assert seal(store, 2).manifest == good


def test_what_is_not_of_its_key_or_can_not_be_read_is_not_named() -> None:
    store = MemoryStore()
    good = put(store, manifest_of("checkpoint-1", 1))
    other = manifest_of("checkpoint-9", 9, epoch=1, seq=9)
    put_data(store, other)
    store.put(KEYS.manifest(1, 8, "checkpoint-9"), encode_manifest(other))
    store.put(KEYS.manifest(1, 7, "checkpoint-7"), b"{")
    store.put(KEYS.manifests + "notes.txt", b"by hand")
    assert seal(store, 2).manifest == good


def test_what_is_condemned_is_not_named_though_it_is_there() -> None:
    store = MemoryStore()
    low = put(store, manifest_of("checkpoint-1", 1, seq=1))
    high = put(store, manifest_of("checkpoint-2", 2, seq=2))
    store.put(KEYS.gc, encode_gc(Gc(1, Gc().condemning([snapshot(1, 2)]))))
    assert seal(store, 2).manifest == low
    store.put(KEYS.gc, b"{")
    assert seal(store, 3).manifest == high, "where gc.json can't be read, what is there counts"


def test_a_pointer_moves_down_only_from_what_does_not_verify() -> None:
    store = MemoryStore()
    low = put(store, manifest_of("checkpoint-1", 1, seq=1))
    high = manifest_of("checkpoint-2", 2, seq=2)
    put(store, high)
    first = seal(store, 2)
    assert first.step == 2
    assert seal(store, 3).manifest == first.manifest
    store.delete(KEYS.absolute(high.files[0].object))
    assert seal(store, 4).manifest == low


def test_what_latest_names_is_a_candidate_even_if_the_listing_lacks_it() -> None:
    inner = MemoryStore()
    high = manifest_of("checkpoint-2", 2, seq=2)
    key = put(inner, high)
    put(inner, manifest_of("checkpoint-1", 1, seq=1))
    inner.put(KEYS.latest, encode_latest(named(Ranked(key, outline(high)), 1, "x")))

    class ListsLess(MemoryStore):
        def list(self, prefix: str):  # type: ignore[no-untyped-def]
            return (k for k in super().list(prefix) if k != KEYS.absolute(key))

    store = ListsLess()
    store.objects = inner.objects
    assert seal(store, 3).manifest == key


def test_sealing_again_writes_nothing() -> None:
    store = MemoryStore()
    put(store, manifest_of("checkpoint-1", 1))
    first = seal(store, 2)
    assert seal(store, 2) == first


def test_a_lower_epoch_is_fenced_and_touches_nothing() -> None:
    store = MemoryStore()
    seal(store, 5)
    before = dict(store.objects)
    put(store, manifest_of("checkpoint-1", 1, epoch=4))
    with pytest.raises(Fenced, match="fenced at epoch 5, above this agent's 4"):
        seal(store, 4)
    assert store.objects[KEYS.latest] == before[KEYS.latest]


def test_a_commit_in_between_is_not_lost() -> None:
    inner = MemoryStore()
    put(inner, manifest_of("checkpoint-1", 1, seq=1))
    seal(inner, 1)
    newer = manifest_of("checkpoint-2", 2, seq=2)

    def commit() -> None:
        key = put(inner, newer)
        inner.put(KEYS.latest, encode_latest(named(Ranked(key, outline(newer)), 1, "y")))

    sealed = seal(SomebodyElseFirst(inner, KEYS.latest, commit), 2)
    assert (sealed.checkpoint, sealed.fence) == ("checkpoint-2", 2)


def test_a_higher_seal_in_between_fences() -> None:
    inner = MemoryStore()
    seal(inner, 1)
    store = SomebodyElseFirst(inner, KEYS.latest, lambda: seal(inner, 3))
    with pytest.raises(Fenced):
        seal(store, 2)
    assert latest_of(inner).fence == 3


def test_a_damaged_latest_is_rewritten_by_who_holds_the_epoch() -> None:
    store = MemoryStore()
    key = put(store, manifest_of("checkpoint-1", 1))
    store.put(KEYS.latest, b"{")
    store.put(KEYS.epoch, encode_epoch(Epoch(2, "n", "i-1", "b", 0, 0.0)))
    with pytest.raises(Fenced):
        seal(store, 1)
    assert seal(store, 2).manifest == key


def test_a_damaged_latest_without_an_epoch_is_moved_by_nobody() -> None:
    store = MemoryStore()
    store.put(KEYS.latest, b"{")
    with pytest.raises(StoreError, match="nobody may move it"):
        seal(store, 9)
    assert store.objects[KEYS.latest].body == b"{"


def test_a_store_that_does_not_answer_moves_nothing_down() -> None:
    store = MemoryStore()
    put(store, manifest_of("checkpoint-1", 1, seq=1))
    put(store, manifest_of("checkpoint-2", 2, seq=2))
    seal(store, 1)
    store.fail_next("head", times=ATTEMPTS, key="data/000001-00000002")
    with pytest.raises(StoreUnavailable):
        seal(store, 2)
    assert (latest_of(store).step, latest_of(store).fence) == (2, 1)
    store.fail_next("head", times=ATTEMPTS - 1, key="data/000001-00000002")
    assert seal(store, 2).step == 2
