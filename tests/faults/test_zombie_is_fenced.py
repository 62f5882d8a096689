"""An agent that was thought dead goes on writing after another has taken the next epoch."""

from __future__ import annotations

from pathlib import Path

import pytest

from runctl_agent.errors import Fenced
from runctl_agent.store.commit import Committer
from runctl_agent.store.objects import ObjectStore
from runctl_agent.store.restore import Restorer
from tests.fakes.manifests import INSTANCE, KEYS, RUN, OwnNonces, manifest_of, put_data
from tests.fakes.memory_store import MemoryStore
from tests.fakes.store_faults import SomebodyElseFirst


def agent(store: ObjectStore, instance: str = INSTANCE) -> Committer:
    writer = Committer(store, KEYS, OwnNonces(), RUN, instance)
    writer.seal(writer.take_epoch("boot").epoch)
    return writer


def test_a_zombie_saves_its_checkpoint_and_moves_nothing() -> None:
    store = MemoryStore()
    zombie = agent(store)
    agent(store, "i-heir")
    late = manifest_of("checkpoint-9000", 9000, epoch=1)
    put_data(store, late)
    before = dict(store.objects)
    done = zombie.commit(late)
    assert (done.latest_moved, done.fenced) == (False, True)
    assert "epoch 2" in done.reason
    assert set(store.objects) - set(before) == {KEYS.absolute(done.key)}
    assert store.objects[KEYS.latest] == before[KEYS.latest]


def test_a_zombie_says_so_for_an_incomplete_checkpoint_too() -> None:
    store = MemoryStore()
    zombie = agent(store)
    agent(store, "i-heir")
    late = manifest_of("checkpoint-1", 1, epoch=1, complete=False)
    put_data(store, late)
    assert zombie.commit(late).fenced


def test_what_the_zombie_saved_is_not_lost_until_the_heir_has_its_own(tmp_path: Path) -> None:
    store = MemoryStore()
    zombie = agent(store)
    heir = agent(store, "i-heir")
    late, own = manifest_of("checkpoint-9000", 9000, epoch=1), manifest_of("checkpoint-10", 10, epoch=2)
    put_data(store, late)
    put_data(store, own)
    zombie.commit(late)
    assert Restorer(store, KEYS, OwnNonces()).restore(str(tmp_path)).manifest == late
    heir.commit(own)
    assert Restorer(store, KEYS, OwnNonces()).restore(str(tmp_path)).manifest == own


def test_a_zombie_that_is_overtaken_in_the_middle_of_its_commit_moves_nothing() -> None:
    inner = MemoryStore()
    agent(inner)
    late = manifest_of("checkpoint-9000", 9000, epoch=1)
    put_data(inner, late)
    store = SomebodyElseFirst(inner, KEYS.latest, lambda: agent(inner, "i-heir"))
    done = Committer(store, KEYS, OwnNonces(), RUN, INSTANCE).commit(late)
    assert done.fenced
    assert not done.latest_moved
    assert Committer(inner, KEYS, OwnNonces(), RUN, INSTANCE).fence() == 2


def test_a_zombie_can_not_seal_and_no_longer_holds_its_epoch() -> None:
    store = MemoryStore()
    zombie = Committer(store, KEYS, OwnNonces(), RUN, INSTANCE)
    mine = zombie.take_epoch("boot")
    agent(store, "i-heir")
    before = store.objects[KEYS.latest]
    with pytest.raises(Fenced):
        zombie.seal(mine.epoch)
    assert not zombie.still_holds(mine.epoch, mine.nonce)
    assert store.objects[KEYS.latest] == before
