"""Retention on a store that keeps S3's rules: what is deleted, in which order, and what stands in its way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from runctl_agent.contract.gc import Gc, decode_gc, encode_gc
from runctl_agent.contract.keys import snapshot
from runctl_agent.contract.manifest import Latest, Manifest, ManifestFile, Rank, encode_latest
from runctl_agent.contract.spec import Retention
from runctl_agent.errors import Fenced, StoreError, StoreRefused, StoreUnavailable
from runctl_agent.store.catalog import Catalog
from runctl_agent.store.commit import Committer
from runctl_agent.store.outline import outline
from runctl_agent.store.pins import Pins
from runctl_agent.store.retain import Retainer, try_to_delete
from runctl_agent.store.retained import Retained
from runctl_agent.store.survey import Held
from tests.fakes.manifests import INSTANCE, KEYS, RUN, OwnNonces, manifest_of, put_data
from tests.fakes.memory_store import MemoryStore


class Run:
    """A run with an agent of one epoch."""

    def __init__(self, store: MemoryStore | None = None, instance: str = INSTANCE) -> None:
        self.store = store or MemoryStore()
        self.committer = Committer(self.store, KEYS, OwnNonces(), RUN, instance)
        epoch = self.committer.take_epoch("boot-1")
        self.committer.seal(epoch.epoch)
        self.held = Held(epoch.epoch, epoch.nonce)

    def commit(self, step: int, *, names: Manifest | None = None, **about: object) -> Manifest:
        """`names`: a checkpoint of whose data it has a file too."""
        manifest = manifest_of(f"checkpoint-{step}", step, epoch=self.held.epoch, seq=step, **about)  # type: ignore[arg-type]
        if names is not None:
            manifest = naming(manifest, names)
        put_data(self.store, manifest)
        self.committer.commit(manifest)
        return manifest

    def retainer(self, keep_last: int = 1, keep_every: int = 0) -> Retainer:
        return Retainer(self.store, KEYS, OwnNonces(), Retention(keep_last, keep_every))

    def retain(self, keep_last: int = 1, keep_every: int = 0, **how: object) -> Retained:
        return self.retainer(keep_last, keep_every).run(self.held, **how)  # type: ignore[arg-type]

    def gc(self) -> Gc:
        gc = decode_gc(self.store.objects[KEYS.gc].body)
        assert isinstance(gc, Gc)
        return gc

    def keys(self, prefix: str = "") -> list[str]:
        return [KEYS.relative(key) for key in sorted(self.store.objects) if KEYS.relative(key).startswith(prefix)]


def naming(manifest: Manifest, other: Manifest) -> Manifest:
    shared: ManifestFile = replace(other.files[0], path="embedding.safetensors")
    return replace(manifest, files=(*manifest.files, shared))


def steps(run: Run) -> list[int]:
    return sorted(one.manifest.step for one in Catalog(run.store, KEYS, OwnNonces()).listing().ranked)


def deleted(run: Run) -> list[str]:
    return [KEYS.relative(key).split("/")[0] for method, key in run.store.calls if method == "delete" and "000000-" not in key]


def test_what_is_doomed_goes_and_what_it_took_is_told() -> None:
    run = Run()
    manifests = [run.commit(step) for step in range(1, 6)]
    done = run.retain(keep_last=2)
    assert [one.manifest.step for one in done.condemned] == [3, 2, 1]
    assert (done.manifests, done.objects, done.kept, done.finished) == (3, 3, (), True)
    assert done.bytes == sum(manifest.size for manifest in manifests[:3])
    assert steps(run) == [4, 5]
    assert run.keys("data/") == sorted(manifests[n].files[0].object for n in (3, 4))
    assert (run.gc().condemned, run.gc().left, run.gc().fence) == (((1, 1, 3),), frozenset(), 1)


def test_every_manifest_goes_before_any_data_and_after_it_is_condemned() -> None:
    run = Run()
    for step in range(1, 4):
        run.commit(step)
    run.retain()
    assert deleted(run) == ["manifests"] * 2 + ["data"] * 2
    calls = [(method, KEYS.relative(key)) for method, key in run.store.calls]
    first_delete = next(n for n, (method, key) in enumerate(calls) if method == "delete" and key.startswith("manifests/"))
    assert ("put", "gc.json") in calls[:first_delete]


def test_again_there_is_nothing_to_do_and_nothing_is_written() -> None:
    run = Run()
    for step in range(1, 4):
        run.commit(step)
    run.retain()
    before = run.store.count("put"), run.store.count("delete")
    assert run.retain() == Retained((), 0, 0, 0, ())
    assert (run.store.count("put"), run.store.count("delete")) == before


def test_data_that_a_later_checkpoint_names_stays_object_by_object() -> None:
    run = Run()
    first = run.commit(1, files={"model.safetensors": b"frozen", "optimizer.pt": b"moving"})
    second = run.commit(2, names=first)
    done = run.retain()
    assert [(one.name, one.bytes, one.by) for one in done.kept] == [(snapshot(1, 1), 6, "checkpoint-2")]
    assert (done.objects, done.bytes) == (1, 6)
    assert run.keys("data/") == sorted(file.object for file in second.files)
    assert run.gc().left == {snapshot(1, 1)}
    assert Catalog(run.store, KEYS, OwnNonces()).missing(outline(second)) == ""


def test_once_nobody_names_it_any_more_it_goes_too() -> None:
    run = Run()
    run.commit(2, names=run.commit(1))
    retainer = run.retainer()
    retainer.run(run.held)
    third = run.commit(3)
    done = retainer.run(run.held)
    assert (done.manifests, done.objects, done.kept) == (1, 2, ())
    assert run.keys("data/") == [third.files[0].object]
    assert run.gc().left == frozenset()


def test_what_stays_is_not_listed_again_while_the_same_name_it() -> None:
    run = Run()
    run.commit(2, names=run.commit(1))
    retainer = run.retainer()
    first = retainer.run(run.held)
    before = run.store.count("list", "data/")
    assert retainer.run(run.held).kept == first.kept
    assert run.store.count("list", "data/") == before


def test_a_pin_holds_all_data_of_what_it_names() -> None:
    run = Run()
    first = run.commit(1)
    run.commit(2)
    rank = Rank(True, 1, 3, 3)
    assert Pins(run.store, KEYS, OwnNonces()).hold(1, 3, [snapshot(1, 1)], rank=rank) == frozenset()
    done = run.retain()
    assert [(one.name, one.by) for one in done.kept] == [(snapshot(1, 1), snapshot(1, 3))]
    assert first.files[0].object in run.keys("data/")
    run.commit(3, names=first)
    assert run.retain().kept[0].by == "checkpoint-3"
    assert run.keys("pins/") == []


def test_a_pin_of_what_was_never_committed_goes_once_it_would() -> None:
    run = Run()
    first = run.commit(1)
    run.commit(3)
    hold = Pins(run.store, KEYS, OwnNonces()).hold
    hold(1, 2, [snapshot(1, 1)], rank=Rank(True, 1, 2, 2))
    hold(1, 9, [snapshot(1, 1)])
    run.retain(pending=[snapshot(1, 2)])
    assert run.keys("pins/") == [f"pins/{snapshot(1, 2)}.json", f"pins/{snapshot(1, 9)}.json"]
    run.retain()
    assert run.keys("pins/") == [f"pins/{snapshot(1, 9)}.json"], "of what may rank anywhere nothing is known"
    assert first.files[0].object in run.keys("data/")
    run.committer.commit(naming(manifest_of("checkpoint-2", 2, seq=2), first))
    assert steps(run) == [3], "condemned before it was committed, it is none"


def test_a_condemned_manifest_that_lands_late_is_none_and_goes() -> None:
    run = Run()
    manifest = run.commit(1)
    run.commit(2)
    run.retain()
    run.committer.commit(manifest)
    assert steps(run) == [2]
    assert run.retain().manifests == 1
    assert len(run.keys("manifests/")) == 1


@pytest.mark.parametrize("method", ["get", "put", "list", "head", "delete"])
def test_killed_at_any_call_the_next_run_goes_on(method: str) -> None:
    """And at no call does a manifest stand whose data is gone."""
    nth = 0
    while True:
        run = Run()
        first = run.commit(1, files={"model.safetensors": b"frozen", "optimizer.pt": b"moving"})
        run.commit(2)
        run.commit(3, names=first)
        Pins(run.store, KEYS, OwnNonces()).hold(1, 3, [snapshot(1, 1)])
        run.store.on_call = killed_at(method, nth)
        try:
            run.retain()
        except Killed:
            pass
        else:
            break
        run.store.on_call = lambda method, key: None
        whole(run)
        run.retain()
        whole(run)
        assert steps(run) == [3]
        assert run.keys("manifests/") == [f"manifests/{snapshot(1, 3)}-checkpoint-3.json"]
        assert run.keys("data/") == sorted([first.files[0].object, f"data/{snapshot(1, 3)}/checkpoint-3/model.safetensors"])
        assert run.keys("pins/") == []
        assert run.gc().left == {snapshot(1, 1)}
        nth += 1
    assert nth > 2 or method in ("head", "put")


class Killed(BaseException):
    pass


def killed_at(method: str, nth: int) -> Callable[[str, str], None]:
    calls = iter(range(10**6))

    def on_call(called: str, key: str) -> None:
        if called == method and next(calls) >= nth:
            raise Killed

    return on_call


def whole(run: Run) -> None:
    catalog = Catalog(run.store, KEYS, OwnNonces())
    for one in catalog.listing().ranked:
        assert catalog.missing(one.manifest) == ""


def test_each_lost_answer_is_survived() -> None:
    for method in ("get", "put", "list", "head", "delete"):
        for skip in range(6):
            run = Run()
            run.commit(1)
            run.commit(2)
            run.store.lose_answer(method, skip=skip)
            run.retain()
            assert steps(run) == [2]
            assert len(run.keys("data/")) == 1


def test_it_stops_where_it_is_told_to_and_goes_on_later() -> None:
    run = Run()
    for step in range(1, 4):
        run.commit(step)
    retainer = run.retainer()
    done = retainer.run(run.held, go_on=lambda count: False)
    assert (done.finished, done.manifests) == (False, 0)
    assert steps(run) == [3], "what is condemned is none, deleted or not"
    assert retainer.run(run.held) == Retained((), 2, 2, sum(manifest_of(f"checkpoint-{n}", n).size for n in (1, 2)), ())


# --- who may, and when nothing may go ---


def test_a_fenced_one_deletes_nothing() -> None:
    run = Run()
    run.commit(1)
    run.commit(2)
    newer = Run(run.store, "i-newer")
    before = dict(run.store.objects)
    with pytest.raises(Fenced):
        run.retain()
    assert run.store.objects == before
    assert steps(newer) == [1, 2]


def test_one_fenced_between_its_look_and_its_condemning_deletes_nothing() -> None:
    run = Run()
    run.commit(1)
    run.commit(2)

    def newer_enters(method: str, key: str) -> None:
        if method == "put" and key == KEYS.gc:
            run.store.on_call = lambda method, key: None
            newer = Run(run.store, "i-newer")
            newer.retainer().enter(newer.held.epoch)

    run.store.on_call = newer_enters
    with pytest.raises(Fenced):
        run.retain()
    assert steps(run) == [1, 2]
    assert run.gc() == replace(run.gc(), fence=2, condemned=())
    assert deleted(run) == []


def test_one_fenced_in_the_middle_stops() -> None:
    run = Run()
    run.commit(1)
    run.commit(2)

    def newer_takes_over(method: str, key: str) -> None:
        if method == "delete" and "manifests/" in key:
            run.store.on_call = lambda method, key: None
            Run(run.store, "i-newer")

    run.store.on_call = newer_takes_over
    with pytest.raises(Fenced):
        run.retain()
    assert deleted(run) == ["manifests"]


def test_the_fence_only_rises() -> None:
    run = Run()
    run.retainer().enter(3)
    run.retainer().enter(2)
    assert run.gc().fence == 3
    run.store.lose_answer("put", key=KEYS.gc)
    run.retainer().enter(4)
    assert run.gc().fence == 4


def refused(run: Run, match: str) -> None:
    before = dict(run.store.objects)
    with pytest.raises(StoreError, match=match) as caught:
        run.retain()
    assert caught.value.mend
    assert run.store.objects == before


def two() -> Run:
    run = Run()
    run.commit(1)
    run.commit(2)
    return run


@pytest.mark.parametrize(
    ("key", "match"),
    [
        (KEYS.gc, "nothing is deleted of gpt2: .*gc.json can't be read"),
        (KEYS.epoch, "nothing is deleted of gpt2: .*epoch.json can't be read"),
        (KEYS.latest, "nothing is deleted of gpt2: .*latest.json can't be read"),
        (KEYS.manifest(1, 1, "checkpoint-1"), "nothing is deleted of gpt2: what .*checkpoint-1.json says can't be read"),
        (KEYS.pin(1, 7), "nothing is deleted of gpt2: what .*pins/000001-00000007.json holds can't be read"),
    ],
)
def test_where_something_cant_be_read_nothing_goes(key: str, match: str) -> None:
    run = two()
    run.store.put(key, b"{")
    refused(run, match)


def test_a_manifest_of_a_later_version_keeps_all_for_nobody_knows_what_it_names() -> None:
    run = two()
    run.store.put(KEYS.manifest(1, 9, "x"), b'{"version": 2}')
    refused(run, "version 2 is newer than 1")


def test_a_pin_that_lies_under_another_name_keeps_all() -> None:
    run = two()
    Pins(run.store, KEYS, OwnNonces()).hold(1, 7, [snapshot(1, 1)])
    run.store.objects[KEYS.pin(1, 8)] = run.store.objects.pop(KEYS.pin(1, 7))
    refused(run, "it is of 000001-00000007, not of its key")


def test_where_what_latest_names_lacks_data_nothing_goes() -> None:
    run = two()
    run.store.delete(KEYS.data(1, 2, "checkpoint-2", "model.safetensors"))
    refused(run, "'checkpoint-2', which .*latest.json names, is not whole: .* is missing")


def test_where_what_latest_names_is_not_there_nothing_goes() -> None:
    run = two()
    run.commit(3)
    run.store.delete(KEYS.manifest(1, 3, "checkpoint-3"))
    refused(run, "its manifest is not there")


def test_where_latest_names_nothing_nothing_goes() -> None:
    run = two()
    run.store.put(KEYS.latest, encode_latest(Latest(None, None, None, None, 1, "x")))
    assert run.retain() == Retained((), 0, 0, 0, ())


def test_without_the_right_to_delete_nothing_is_condemned() -> None:
    run = two()
    run.store.fail_next("delete", StoreRefused("delete", "403 AccessDenied", "allow s3:DeleteObject"), times=9)
    with pytest.raises(StoreRefused):
        run.retain()
    assert KEYS.gc not in run.store.objects
    assert steps(run) == [1, 2]


def test_the_right_to_delete_is_asked_of_a_key_that_is_nobodys() -> None:
    run = two()
    before = dict(run.store.objects)
    try_to_delete(run.store, KEYS)
    assert run.store.objects == before


def test_where_the_store_does_not_answer_the_next_run_does_it() -> None:
    run = two()
    run.store.fail_next("delete", times=6, key="data/")
    with pytest.raises(StoreUnavailable):
        run.retain()
    assert run.gc().left == {snapshot(1, 1)}
    assert run.retain().objects == 1
    assert run.gc().left == frozenset()


def test_another_writer_of_gc_is_taken_in() -> None:
    run = two()
    run.commit(3)

    def other(method: str, key: str) -> None:
        if method == "put" and key == KEYS.gc:
            run.store.on_call = lambda method, key: None
            run.store.put(KEYS.gc, encode_gc(Gc(1, Gc().condemning([snapshot(1, 1)]), frozenset({snapshot(1, 1)}))))

    run.store.on_call = other
    done = run.retain()
    assert [one.manifest.step for one in done.condemned] == [2]
    assert run.gc().condemned == ((1, 1, 2),)
    assert len(run.keys("data/")) == 1


# --- a plan ---


def test_a_plan_says_what_a_run_would_do_and_does_nothing() -> None:
    run = Run()
    first = run.commit(1, files={"model.safetensors": b"frozen", "optimizer.pt": b"moving"})
    run.commit(2)
    run.commit(3, names=first)
    before = dict(run.store.objects)
    planned = run.retainer().plan()
    assert run.store.objects == before
    done = run.retain()
    assert planned == done
    assert (done.manifests, done.objects, len(done.kept)) == (2, 2, 1)
