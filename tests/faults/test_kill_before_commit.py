"""The agent is killed between any two writes of a commit."""

from __future__ import annotations

from pathlib import Path

import pytest

from runctl_agent.store.commit import Committer
from runctl_agent.store.objects import ObjectStore
from runctl_agent.store.outline import outline
from runctl_agent.store.restore import Restorer
from tests.fakes.manifests import INSTANCE, KEYS, RUN, OwnNonces, manifest_of, put_data
from tests.fakes.memory_store import MemoryStore
from tests.fakes.store_faults import DiesBeforePut, Killed

OLD, NEW = manifest_of("checkpoint-1", 1, seq=1), manifest_of("checkpoint-2", 2, seq=2)
NEW_KEY = KEYS.manifest(1, 2, "checkpoint-2")


def agent(store: ObjectStore) -> Committer:
    return Committer(store, KEYS, OwnNonces(), RUN, INSTANCE)


@pytest.fixture
def store() -> MemoryStore:
    """A run with one checkpoint, and the data of the next."""
    store = MemoryStore()
    writer = agent(store)
    writer.seal(writer.take_epoch("boot-1").epoch)
    put_data(store, OLD)
    writer.commit(OLD)
    put_data(store, NEW)
    return store


def test_before_the_manifest_the_checkpoint_does_not_exist(store: MemoryStore, tmp_path: Path) -> None:
    before = dict(store.objects)
    with pytest.raises(Killed):
        agent(DiesBeforePut(store, NEW_KEY)).commit(NEW)
    assert store.objects == before
    restorer = Restorer(store, KEYS, OwnNonces())
    assert [one.manifest for one in restorer.candidates()] == [outline(OLD)]
    assert restorer.restore(str(tmp_path)).manifest == OLD


def test_between_the_manifest_and_latest_it_exists_and_latest_catches_up(store: MemoryStore, tmp_path: Path) -> None:
    pointed = store.objects[KEYS.latest]
    with pytest.raises(Killed):
        agent(DiesBeforePut(store, KEYS.latest)).commit(NEW)
    assert NEW_KEY in store.objects
    assert store.objects[KEYS.latest] == pointed
    assert Restorer(store, KEYS, OwnNonces()).restore(str(tmp_path)).manifest == NEW
    assert agent(store).commit(NEW).latest_moved


def test_a_new_agent_that_seals_points_to_what_the_killed_one_committed(store: MemoryStore) -> None:
    with pytest.raises(Killed):
        agent(DiesBeforePut(store, KEYS.latest)).commit(NEW)
    heir = agent(store)
    sealed = heir.seal(heir.take_epoch("boot-2").epoch)
    assert (sealed.checkpoint, sealed.fence) == ("checkpoint-2", 2)
