"""A write of `latest.json` lands, but its answer never arrives; or it lands late, or not at all."""

from __future__ import annotations

import pytest

from runctl_agent.contract.manifest import Latest, decode_latest
from runctl_agent.errors import StoreUnavailable
from runctl_agent.store.commit import Committer
from runctl_agent.store.objects import ObjectStore
from runctl_agent.store.retry import ATTEMPTS
from tests.fakes.manifests import INSTANCE, KEYS, RUN, OwnNonces, manifest_of, put_data
from tests.fakes.memory_store import MemoryStore

MANIFEST = manifest_of("checkpoint-1", 1, seq=1)
NEXT = manifest_of("checkpoint-2", 2, seq=2)


def agent(store: ObjectStore) -> Committer:
    return Committer(store, KEYS, OwnNonces(), RUN, INSTANCE)


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    writer = agent(store)
    writer.seal(writer.take_epoch("boot-1").epoch)
    put_data(store, MANIFEST)
    put_data(store, NEXT)
    return store


def named(store: MemoryStore) -> str | None:
    latest = decode_latest(store.objects[KEYS.latest].body)
    assert isinstance(latest, Latest)
    return latest.checkpoint


def test_a_lost_answer_is_read_back_and_not_written_twice(store: MemoryStore) -> None:
    before = store.count("put", KEYS.latest)
    store.lose_answer("put", key=KEYS.latest)
    assert agent(store).commit(MANIFEST).latest_moved
    assert store.count("put", KEYS.latest) == before + 1
    assert named(store) == "checkpoint-1"


def test_a_write_that_did_not_land_is_made_again(store: MemoryStore) -> None:
    store.fail_next("put", key=KEYS.latest)
    assert agent(store).commit(MANIFEST).latest_moved
    assert named(store) == "checkpoint-1"


def test_a_late_write_does_not_move_latest_back(store: MemoryStore) -> None:
    store.delay_next("put", key=KEYS.latest)
    writer = agent(store)
    writer.commit(MANIFEST)
    assert writer.commit(NEXT).latest_moved
    store.land_late()
    assert named(store) == "checkpoint-2"


def test_without_any_answer_the_commit_is_an_error_and_the_manifest_stands(store: MemoryStore) -> None:
    store.fail_next("put", times=ATTEMPTS, key=KEYS.latest)
    with pytest.raises(StoreUnavailable):
        agent(store).commit(MANIFEST)
    assert KEYS.manifest(1, 1, "checkpoint-1") in store.objects
    assert named(store) is None
    assert agent(store).commit(MANIFEST).latest_moved
