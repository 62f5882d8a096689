from __future__ import annotations

from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runctl_agent.contract.manifest import Latest, Manifest, decode_latest, decode_manifest, encode_manifest, order
from runctl_agent.errors import CommitConflict, Fenced, PreconditionFailed, StoreError
from runctl_agent.store.commit import Committed, Committer
from runctl_agent.store.objects import Got, ObjectStore
from tests.fakes.manifests import INSTANCE, KEYS, RUN, OwnNonces, manifest_of, put_data
from tests.fakes.memory_store import MemoryStore
from tests.fakes.store_faults import SomebodyElseFirst, Wrapped


def committer(store: ObjectStore, instance: str = INSTANCE) -> Committer:
    return Committer(store, KEYS, OwnNonces(), RUN, instance)


def ready(store: ObjectStore) -> Committer:
    """A committer that has taken and sealed its epoch."""
    writer = committer(store)
    writer.seal(writer.take_epoch("boot-1").epoch)
    return writer


def commit(writer: Committer, store: ObjectStore, manifest: Manifest) -> Committed:
    put_data(store, manifest)
    return writer.commit(manifest)


def latest_of(store: ObjectStore) -> Latest:
    got = store.get(KEYS.latest)
    assert got is not None
    latest = decode_latest(got.body)
    assert isinstance(latest, Latest)
    return latest


def test_a_commit_writes_the_manifest_and_moves_latest_to_it() -> None:
    store = MemoryStore()
    writer, manifest = ready(store), manifest_of("checkpoint-500", 500)
    done = commit(writer, store, manifest)
    assert done == Committed("manifests/000001-00000001-checkpoint-500.json", latest_moved=True, fenced=False)
    got = store.get(KEYS.absolute(done.key))
    assert got is not None
    assert decode_manifest(got.body) == manifest
    latest = latest_of(store)
    assert (latest.manifest, latest.checkpoint, latest.step, latest.rank) == (done.key, "checkpoint-500", 500, manifest.rank)
    assert latest.fence == 1


def test_the_manifest_is_written_before_latest() -> None:
    inner = MemoryStore()
    writer = ready(inner)
    seen: list[bool] = []
    key = KEYS.manifest(1, 1, "checkpoint-1")
    store = SomebodyElseFirst(inner, KEYS.latest, lambda: seen.append(inner.get(key) is not None))
    put_data(inner, manifest_of("checkpoint-1", 1))
    writer = committer(store)
    writer.commit(manifest_of("checkpoint-1", 1))
    assert seen == [True]


def test_latest_never_moves_to_a_lower_rank() -> None:
    store = MemoryStore()
    writer = ready(store)
    commit(writer, store, manifest_of("checkpoint-900", 900, seq=1))
    before = store.objects[KEYS.latest]
    lower = commit(writer, store, manifest_of("checkpoint-100", 100, seq=2))
    lone = commit(writer, store, manifest_of("state.json", 999, {"state.json": b"{}"}, seq=3, weights=False, kind="file"))
    assert (lower.latest_moved, lone.latest_moved, lower.fenced) == (False, False, False)
    assert store.objects[KEYS.latest] == before


def test_latest_moves_from_each_checkpoint_to_the_next() -> None:
    store = MemoryStore()
    writer = ready(store)
    moved = [commit(writer, store, manifest_of(f"checkpoint-{n}", n, seq=n)).latest_moved for n in (1, 2, 3)]
    assert moved == [True, True, True]
    assert latest_of(store).step == 3


def test_an_incomplete_checkpoint_is_committed_and_never_pointed_to() -> None:
    store = MemoryStore()
    writer = ready(store)
    before = store.objects[KEYS.latest]
    done = commit(writer, store, manifest_of("checkpoint-1", 1, complete=False))
    assert (done.latest_moved, done.fenced) == (False, False)
    assert KEYS.absolute(done.key) in store.objects
    assert store.objects[KEYS.latest] == before


def test_what_was_staged_under_an_earlier_epoch_is_pointed_to_by_who_holds_a_later_one() -> None:
    store = MemoryStore()
    writer = ready(store)
    writer.seal(writer.take_epoch("boot-1").epoch)
    done = commit(writer, store, manifest_of("checkpoint-1", 1, epoch=1))
    assert (done.latest_moved, done.fenced) == (True, False)
    assert latest_of(store).fence == 2


def test_committing_again_is_harmless_also_with_another_nonce() -> None:
    store = MemoryStore()
    writer, manifest = ready(store), manifest_of("checkpoint-1", 1)
    first = commit(writer, store, manifest)
    before = dict(store.objects)
    again = writer.commit(replace(manifest, nonce="another", created=1_800_000_500.0))
    assert again.key == first.key
    assert store.objects == before


@pytest.mark.parametrize("nonce", ["ours", manifest_of("checkpoint-1", 1).nonce])
def test_another_content_under_the_same_key_is_a_conflict_and_nothing_is_overwritten(nonce: str) -> None:
    store = MemoryStore()
    writer = ready(store)
    theirs = manifest_of("checkpoint-1", 1)
    commit(writer, store, theirs)
    before = dict(store.objects)
    with pytest.raises(CommitConflict) as caught:
        writer.commit(replace(theirs, files=(), nonce=nonce, instance="i-other"))
    assert caught.value.permanent
    assert caught.value.mend
    assert store.objects == before


def test_a_second_try_that_sent_what_the_first_could_name_finds_the_first_committed() -> None:
    store = MemoryStore()
    writer, manifest = ready(store), manifest_of("checkpoint-1", 1)
    named = replace(manifest, files=tuple(replace(file, object="data/000000-00000001/x") for file in manifest.files))
    commit(writer, store, named)
    done = writer.commit(manifest)
    assert decode_manifest(store.objects[KEYS.absolute(done.key)].body) == named


@pytest.mark.parametrize("body", [b"", b"{", b'{"nonce": "ours"'])
def test_garbage_under_the_key_is_a_conflict(body: bytes) -> None:
    store = MemoryStore()
    writer = ready(store)
    key = KEYS.manifest(1, 1, "checkpoint-1")
    store.put(key, body)
    with pytest.raises(CommitConflict, match="can't be read"):
        writer.commit(replace(manifest_of("checkpoint-1", 1), nonce="ours"))
    assert store.objects[key].body == body
    assert latest_of(store).manifest is None


def test_a_manifest_without_a_nonce_gets_one() -> None:
    store = MemoryStore()
    done = commit(ready(store), store, replace(manifest_of("checkpoint-1", 1), nonce=""))
    got = store.get(KEYS.absolute(done.key))
    assert got is not None
    manifest = decode_manifest(got.body)
    assert isinstance(manifest, Manifest)
    assert manifest.nonce


def test_what_can_not_be_written_down_is_an_error_with_its_reason() -> None:
    store = MemoryStore()
    before = dict(store.objects)
    with pytest.raises(StoreError, match="step"):
        committer(store).commit(replace(manifest_of("step=9999", 1), step=10**30))
    assert store.objects == before


def test_a_race_for_latest_is_won_by_the_higher_rank() -> None:
    inner = MemoryStore()
    first = ready(inner)
    high, low = manifest_of("checkpoint-9", 9, seq=1), manifest_of("checkpoint-8", 8, seq=2)
    put_data(inner, low)
    store = SomebodyElseFirst(inner, KEYS.latest, lambda: commit(first, inner, high))
    done = committer(store).commit(low)
    assert not done.latest_moved
    assert latest_of(inner).step == 9


@pytest.mark.parametrize("standing", [None, b"{"])
def test_without_a_latest_to_compare_with_the_manifests_decide(standing: bytes | None) -> None:
    store = MemoryStore()
    writer = ready(store)
    commit(writer, store, manifest_of("checkpoint-9", 9, seq=1))
    store.delete(KEYS.latest)
    if standing is not None:
        store.put(KEYS.latest, standing)
    assert not commit(writer, store, manifest_of("checkpoint-8", 8, seq=2)).latest_moved
    assert latest_of(store).step == 9
    store.delete(KEYS.latest)
    assert commit(writer, store, manifest_of("checkpoint-10", 10, seq=4)).latest_moved
    store.delete(KEYS.latest)
    assert not commit(writer, store, manifest_of("checkpoint-7", 7, seq=3)).latest_moved


def test_the_fence_is_read_from_latest_and_is_0_without_one() -> None:
    store = MemoryStore()
    writer = committer(store)
    assert writer.fence() == 0
    writer.seal(7)
    assert writer.fence() == 7


@pytest.mark.parametrize("run", ["another-run", "z-run"])
def test_a_committer_of_another_run_is_refused(run: str) -> None:
    with pytest.raises(ValueError, match=run):
        Committer(MemoryStore(), KEYS, OwnNonces(), run, INSTANCE)


# --- two writers, every step of theirs in any order ---


class Paused(BaseException):
    """Stands for the end of a step: the writer goes on later, from the start, as after an error."""


class OneWriteThenPause(Wrapped):
    """Lets `left` writes through, then the writer is interrupted; the last one may land though its answer is lost."""

    left = 99
    lands = False

    def put(
        self, key: str, body: bytes | memoryview, *, crc: int | None = None, if_absent: bool = False, if_match: str | None = None
    ) -> str:
        if self.left == 0:
            if self.lands:
                try:
                    super().put(key, body, crc=crc, if_absent=if_absent, if_match=if_match)
                except PreconditionFailed:
                    pass
            raise Paused
        self.left -= 1
        return super().put(key, body, crc=crc, if_absent=if_absent, if_match=if_match)


class Watching(MemoryStore):
    """Asserts, at each write of `latest.json`, what must hold between the old one and the new."""

    writer = 0
    """The epoch of who is writing."""

    def put(
        self, key: str, body: bytes | memoryview, *, crc: int | None = None, if_absent: bool = False, if_match: str | None = None
    ) -> str:
        before = self.get(key)
        etag = super().put(key, body, crc=crc, if_absent=if_absent, if_match=if_match)
        if key == KEYS.latest and before is not None:
            self.compare(before, bytes(body))
        return etag

    def compare(self, before: Got, body: bytes) -> None:
        old, new = decode_latest(before.body), decode_latest(body)
        assert isinstance(old, Latest)
        assert isinstance(new, Latest)
        assert old.fence <= self.writer, "touched under a higher fence"
        assert new.fence >= old.fence
        if old.rank is not None and old.manifest is not None:
            assert new.rank is not None
            assert new.manifest is not None
            assert order(new.rank, new.manifest) >= order(old.rank, old.manifest)


class TwoWriters(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = Watching()
        self.ports = [OneWriteThenPause(self.store), OneWriteThenPause(self.store)]
        self.writers = [committer(self.ports[0], "i-a"), committer(self.ports[1], "i-b")]
        self.epochs = [0, 0]
        self.seqs = [0, 0]
        self.committed: dict[str, bytes] = {}

    def limit(self, who: int, writes: int, lands: bool) -> None:
        self.ports[who].left, self.ports[who].lands = writes, lands
        self.store.writer = self.epochs[who]

    @rule(who=st.integers(0, 1), writes=st.sampled_from([0, 99]), lands=st.booleans())
    def take(self, who: int, writes: int, lands: bool) -> None:
        self.limit(who, writes, lands)
        try:
            epoch = self.writers[who].take_epoch("boot").epoch
        except Paused:
            return
        assert epoch > max(self.epochs)
        self.epochs[who], self.seqs[who] = epoch, 0

    @precondition(lambda self: any(self.epochs))
    @rule(who=st.integers(0, 1), writes=st.sampled_from([0, 99]), lands=st.booleans())
    def seal(self, who: int, writes: int, lands: bool) -> None:
        if self.epochs[who]:
            self.limit(who, writes, lands)
            try:
                self.writers[who].seal(self.epochs[who])
            except (Paused, Fenced):
                pass

    @precondition(lambda self: any(self.epochs))
    @rule(
        who=st.integers(0, 1), step=st.integers(0, 3), rank_epoch=st.integers(0, 3), weights=st.booleans(),
        complete=st.booleans(), writes=st.sampled_from([0, 1, 99]), lands=st.booleans(),
    )  # fmt: skip
    def commit(self, who: int, step: int, rank_epoch: int, weights: bool, complete: bool, writes: int, lands: bool) -> None:
        if not self.epochs[who]:
            return
        self.seqs[who] += 1
        manifest = manifest_of(
            f"checkpoint-{step}", step, epoch=self.epochs[who], seq=self.seqs[who],
            rank_epoch=min(rank_epoch, self.epochs[who]), weights=weights, complete=complete,
        )  # fmt: skip
        put_data(self.store, manifest)
        self.limit(who, writes, lands)
        try:
            done = self.writers[who].commit(manifest)
        except Paused:
            return
        self.committed[KEYS.absolute(done.key)] = encode_manifest(manifest)
        assert not (done.fenced and done.latest_moved)

    @invariant()
    def what_was_committed_stands(self) -> None:
        for key, body in self.committed.items():
            assert self.store.objects[key].body == body

    @invariant()
    def latest_names_a_complete_manifest_that_is_there(self) -> None:
        got = self.store.get(KEYS.latest)
        latest = None if got is None else decode_latest(got.body)
        if isinstance(latest, Latest) and latest.manifest is not None:
            manifest = decode_manifest(self.store.objects[KEYS.absolute(latest.manifest)].body)
            assert isinstance(manifest, Manifest)
            assert manifest.complete
            assert manifest.rank == latest.rank


TwoWriters.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestTwoWriters = TwoWriters.TestCase
