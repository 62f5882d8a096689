from __future__ import annotations

import json

import pytest

from runctl_agent.contract.keys import LAST_EPOCH
from runctl_agent.contract.manifest import Epoch, Latest, decode_epoch, encode_epoch, encode_latest, encode_manifest
from runctl_agent.errors import StoreError, StoreUnavailable
from runctl_agent.store.commit import Committer
from runctl_agent.store.epoch import EpochTaker
from runctl_agent.store.objects import ObjectStore
from tests.fakes.manifests import INSTANCE, KEYS, RUN, OwnNonces, manifest_of
from tests.fakes.memory_store import MemoryStore
from tests.fakes.store_faults import SomebodyElseFirst


def take(store: ObjectStore, instance: str = INSTANCE) -> Epoch:
    return EpochTaker(store, KEYS, OwnNonces()).take(instance, "boot-1", 1_800_000_000.0)


def stored(store: MemoryStore) -> Epoch:
    got = store.get(KEYS.epoch)
    assert got is not None
    epoch = decode_epoch(got.body)
    assert isinstance(epoch, Epoch)
    return epoch


def test_the_first_epoch_is_1_and_is_what_stands() -> None:
    store = MemoryStore()
    epoch = take(store)
    assert epoch == stored(store)
    assert (epoch.epoch, epoch.instance, epoch.boot_id, epoch.attempts_without_progress) == (1, INSTANCE, "boot-1", 0)
    assert list(store.list("")) == [KEYS.epoch]


def test_the_next_epoch_is_one_higher_and_keeps_the_attempts() -> None:
    store = MemoryStore()
    store.put(KEYS.epoch, encode_epoch(Epoch(4, "theirs", "i-other", "boot-0", 2, 5.0)))
    epoch = take(store)
    assert (epoch.epoch, epoch.attempts_without_progress) == (5, 2)
    assert epoch.nonce != "theirs"


def test_an_epoch_that_another_takes_first_is_left_to_it() -> None:
    inner = MemoryStore()
    theirs: list[Epoch] = []
    store = SomebodyElseFirst(inner, KEYS.epoch, lambda: theirs.append(take(inner, "i-other")))
    mine = take(store)
    assert [e.epoch for e in theirs] == [1]
    assert mine.epoch == 2
    assert stored(inner) == mine


def test_a_lost_answer_is_decided_by_reading_back() -> None:
    store = MemoryStore()
    store.lose_answer("put", key=KEYS.epoch)
    assert take(store).epoch == 1
    assert store.count("put", KEYS.epoch) == 1
    assert stored(store).epoch == 1


def test_a_late_write_of_the_same_epoch_changes_nothing() -> None:
    store = MemoryStore()
    store.delay_next("put", key=KEYS.epoch)
    mine = take(store)
    store.land_late()
    assert stored(store) == mine


def test_no_answer_at_all_is_unavailable_after_six_attempts_with_growing_pauses() -> None:
    store, runtime = MemoryStore(), OwnNonces(rolls=1.0)
    store.fail_next("put", times=99)
    with pytest.raises(StoreUnavailable, match="not decided in 6 attempts"):
        EpochTaker(store, KEYS, runtime).take(INSTANCE, "boot-1", 0.0)
    assert runtime.slept == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2])
    assert store.count("put") == 6
    assert store.objects == {}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"epoch": "x"}', b"\xff" * 9, b'{"epoch": -5}'])
def test_a_damaged_epoch_never_restarts_below_what_the_keys_bear(body: bytes) -> None:
    store = MemoryStore()
    store.put(KEYS.epoch, body)
    store.put(KEYS.data(9, 3, "checkpoint-1", "model.bin"), b"never committed")
    store.put(KEYS.manifest(7, 1, "checkpoint-1"), encode_manifest(manifest_of("checkpoint-1", 1, epoch=7)))
    store.put("team/ckpt/another-run/data/000099-00000001/x", b"")
    taker = EpochTaker(store, KEYS, OwnNonces())
    assert taker.take(INSTANCE, "boot-1", 0.0).epoch == 10
    assert "from epoch 9" in taker.problems[0]


def test_a_deleted_epoch_goes_on_above_the_fence() -> None:
    store = MemoryStore()
    store.put(KEYS.latest, encode_latest(Latest(None, None, None, None, 12, "x")))
    assert take(store).epoch == 13


def test_an_epoch_below_the_fence_goes_on_above_it() -> None:
    store = MemoryStore()
    store.put(KEYS.epoch, encode_epoch(Epoch(3, "old", "i-other", "b", 0, 0.0)))
    store.put(KEYS.latest, encode_latest(Latest(None, None, None, None, 12, "x")))
    assert take(store).epoch == 13


def test_the_number_that_a_damaged_document_still_shows_counts() -> None:
    store = MemoryStore()
    store.put(KEYS.epoch, json.dumps({"epoch": 41}).encode())
    assert take(store).epoch == 42


def test_after_the_last_epoch_there_is_none() -> None:
    store = MemoryStore()
    store.put(KEYS.epoch, encode_epoch(Epoch(LAST_EPOCH, "x", "i-other", "b", 0, 0.0)))
    with pytest.raises(StoreError, match="the last there is"):
        take(store)
    assert stored(store).epoch == LAST_EPOCH


def test_an_epoch_is_held_until_another_is_taken() -> None:
    store = MemoryStore()
    committer = Committer(store, KEYS, OwnNonces(), RUN, INSTANCE)
    mine = committer.take_epoch("boot-1")
    assert committer.still_holds(mine.epoch, mine.nonce)
    assert not committer.still_holds(mine.epoch, "another nonce")
    Committer(store, KEYS, OwnNonces(), RUN, "i-other").take_epoch("boot-2")
    assert not committer.still_holds(mine.epoch, mine.nonce)


@pytest.mark.parametrize("body", [None, b"{"])
def test_an_epoch_that_is_gone_or_damaged_is_not_held(body: bytes | None) -> None:
    store = MemoryStore()
    committer = Committer(store, KEYS, OwnNonces(), RUN, INSTANCE)
    mine = committer.take_epoch("boot-1")
    store.delete(KEYS.epoch)
    if body is not None:
        store.put(KEYS.epoch, body)
    assert not committer.still_holds(mine.epoch, mine.nonce)
