"""Who may still move `latest.json`: fences, epochs that were overtaken, races that are lost."""

from __future__ import annotations

import pytest

from runctl_agent.contract.manifest import Latest, encode_latest
from runctl_agent.errors import StoreRefused, StoreUnavailable
from runctl_agent.store.commit import Committer
from tests.fakes.manifests import INSTANCE, KEYS, RUN, OwnNonces, manifest_of
from tests.fakes.memory_store import MemoryStore
from tests.fakes.store_faults import IgnoresConditions, SomebodyElseFirst, Wrapped
from tests.unit.test_commit import commit, committer, latest_of, ready


class TakenAgainAndAgain(Wrapped):
    """Somebody else moves `latest.json` before each of our writes of it."""

    taken = 0

    def put(
        self, key: str, body: bytes | memoryview, *, crc: int | None = None, if_absent: bool = False, if_match: str | None = None
    ) -> str:
        if key == KEYS.latest:
            self.taken += 1
            self.inner.put(key, encode_latest(Latest(None, None, None, None, 1, f"theirs-{self.taken}")))
        return super().put(key, body, crc=crc, if_absent=if_absent, if_match=if_match)


def test_a_pointer_that_is_always_lost_to_others_is_given_up_after_twenty_tries_and_the_manifest_stands() -> None:
    inner = MemoryStore()
    ready(inner)
    store, runtime = TakenAgainAndAgain(inner), OwnNonces(rolls=1.0)
    with pytest.raises(StoreUnavailable, match="lost to another writer 20 times"):
        Committer(store, KEYS, runtime, RUN, INSTANCE).commit(manifest_of("checkpoint-1", 1))
    assert store.taken == 20
    assert runtime.slept[:6] == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 5.0])
    assert len(runtime.slept) == 19
    assert KEYS.manifest(1, 1, "checkpoint-1") in inner.objects


def test_a_writer_that_was_fenced_off_commits_and_moves_nothing() -> None:
    store = MemoryStore()
    old = ready(store)
    new = committer(store, "i-new")
    new.seal(new.take_epoch("boot-2").epoch)
    before = store.objects[KEYS.latest]
    done = commit(old, store, manifest_of("checkpoint-9", 9))
    assert (done.latest_moved, done.fenced) == (False, True)
    assert "fenced at epoch 2" in done.reason
    assert KEYS.absolute(done.key) in store.objects
    assert store.objects[KEYS.latest] == before


def test_an_incomplete_checkpoint_of_one_who_was_fenced_off_says_so_too() -> None:
    store = MemoryStore()
    old = ready(store)
    new = committer(store, "i-new")
    new.seal(new.take_epoch("boot-2").epoch)
    assert commit(old, store, manifest_of("checkpoint-9", 9, complete=False)).fenced


def test_where_latest_is_damaged_epoch_json_tells_who_is_fenced_off() -> None:
    store = MemoryStore()
    old = ready(store)
    committer(store, "i-new").take_epoch("boot-2")
    store.put(KEYS.latest, b"{")
    done = commit(old, store, manifest_of("checkpoint-9", 9))
    assert (done.latest_moved, done.fenced) == (False, True)
    assert store.objects[KEYS.latest].body == b"{"


def test_a_new_fence_that_comes_while_latest_is_put_together_is_heeded() -> None:
    """`latest.json` is gone, and another takes and seals its epoch just before it is written anew."""
    inner = MemoryStore()
    epoch = ready(inner).take_epoch("boot-1").epoch
    inner.delete(KEYS.latest)
    new = committer(inner, "i-new")
    store = SomebodyElseFirst(inner, KEYS.latest, lambda: new.seal(new.take_epoch("boot-2").epoch))
    done = commit(committer(store), inner, manifest_of("checkpoint-9", 9, epoch=epoch))
    assert (done.latest_moved, done.fenced) == (False, True)
    assert done.reason
    assert latest_of(inner).fence == epoch + 1


def test_an_epoch_is_held_by_its_nonce_and_nobody_elses() -> None:
    store = MemoryStore()
    writer = committer(store)
    assert not writer.still_holds(1, "any")
    epoch = writer.take_epoch("boot-1")
    assert writer.still_holds(epoch.epoch, epoch.nonce)
    assert not writer.still_holds(epoch.epoch, "another")
    assert not writer.still_holds(epoch.epoch + 1, epoch.nonce)
    committer(store, "i-new").take_epoch("boot-2")
    assert not writer.still_holds(epoch.epoch, epoch.nonce)


def test_who_still_holds_an_epoch_may_point_to_what_was_staged_before_it() -> None:
    store = MemoryStore()
    first = ready(store)
    epoch = first.take_epoch("boot-1")
    first.seal(epoch.epoch)
    assert commit(committer(store), store, manifest_of("checkpoint-1", 1, epoch=1)).fenced
    again = committer(store)
    assert again.still_holds(epoch.epoch, epoch.nonce)
    assert commit(again, store, manifest_of("checkpoint-2", 2, epoch=1, seq=2)).latest_moved
    assert again.still_holds(epoch.epoch, epoch.nonce)


def test_only_a_higher_epoch_of_another_instance_has_overtaken() -> None:
    store = MemoryStore()
    writer = committer(store)
    assert not writer.overtaken(1)
    first = writer.take_epoch("boot-1").epoch
    assert not writer.overtaken(first)
    writer.take_epoch("boot-2")
    assert not writer.overtaken(first), "it is its own"
    committer(store, "i-new").take_epoch("boot-3")
    assert writer.overtaken(first)
    assert writer.overtaken(first + 1)
    assert not writer.overtaken(first + 2)
    assert not writer.overtaken(first + 3)
    committer(store, "a-new").take_epoch("boot-4")
    assert writer.overtaken(first)


def test_who_was_overtaken_and_is_not_fenced_off_yet_points_to_what_was_staged_before_its_epoch() -> None:
    store = MemoryStore()
    first = ready(store)
    epoch = first.take_epoch("boot-1").epoch
    first.seal(epoch)
    committer(store, "i-new").take_epoch("boot-2")
    again = committer(store)
    assert commit(again, store, manifest_of("checkpoint-1", 1, epoch=1)).fenced
    assert again.overtaken(epoch)
    assert commit(again, store, manifest_of("checkpoint-2", 2, epoch=1, seq=2)).latest_moved


def test_what_fenced_an_epoch_off_is_told_and_nothing_where_nothing_did() -> None:
    store = MemoryStore()
    old = ready(store)
    assert old.fenced_by(1) == ""
    new = committer(store, "i-new")
    new.seal(new.take_epoch("boot-2").epoch)
    assert "fenced at epoch 2" in old.fenced_by(1)
    assert old.fenced_by(2) == ""
    assert old.fenced_by(3) == ""


def test_an_epoch_json_that_was_found_damaged_is_told() -> None:
    store = MemoryStore()
    writer = committer(store)
    assert writer.problems() == []
    store.put(KEYS.epoch, b"{")
    writer.take_epoch("boot-1")
    (problem,) = writer.problems()
    assert KEYS.epoch in problem


def test_conditions_are_proved_by_the_committer() -> None:
    committer(MemoryStore()).prove_conditional_writes()
    with pytest.raises(StoreRefused):
        committer(IgnoresConditions(MemoryStore())).prove_conditional_writes()
