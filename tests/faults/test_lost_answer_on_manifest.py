"""The manifest lands, but its answer never arrives; or it lands late."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runctl_agent.store.commit import Committer
from tests.fakes.manifests import INSTANCE, KEYS, RUN, OwnNonces, manifest_of, put_data
from tests.fakes.memory_store import MemoryStore

MANIFEST = manifest_of("checkpoint-1", 1)
KEY = KEYS.manifest(1, 1, "checkpoint-1")


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    put_data(store, MANIFEST)
    return store


@pytest.fixture
def agent(store: MemoryStore) -> Committer:
    writer = Committer(store, KEYS, OwnNonces(), RUN, INSTANCE)
    writer.seal(writer.take_epoch("boot-1").epoch)
    return writer


def test_it_is_recognised_by_its_nonce_and_not_written_twice(store: MemoryStore, agent: Committer) -> None:
    store.lose_answer("put", key=KEY)
    assert agent.commit(MANIFEST).latest_moved
    assert store.count("put", KEY) == 1


def test_it_is_recognised_by_its_content_after_a_kill_that_lost_the_nonce(store: MemoryStore, agent: Committer) -> None:
    agent.commit(MANIFEST)
    before = store.objects[KEY]
    agent.commit(replace(MANIFEST, nonce="another", created=MANIFEST.created + 60))
    assert store.objects[KEY] == before


def test_a_late_one_changes_nothing(store: MemoryStore, agent: Committer) -> None:
    store.delay_next("put", key=KEY)
    assert agent.commit(MANIFEST).latest_moved
    before = dict(store.objects)
    store.land_late()
    assert store.objects == before
