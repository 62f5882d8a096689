"""What retention lets go: by properties, and each doubt that keeps a checkpoint by one example."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.contract.manifest import Latest, Manifest, Rank
from runctl_agent.contract.spec import Retention
from runctl_agent.store.catalog import Ranked
from runctl_agent.store.doomed import cut, doomed, name_of
from runctl_agent.store.outline import outline
from runctl_agent.store.pointer import named
from tests.fakes.manifests import KEYS, manifest_of

NOTHING = Latest(None, None, None, None, 0, "")


def ranked(manifest: Manifest) -> Ranked:
    return Ranked(KEYS.relative(KEYS.manifest(manifest.epoch, manifest.seq, manifest.checkpoint)), outline(manifest))


@st.composite
def histories(draw: st.DrawFn) -> list[Ranked]:
    """Up to a dozen committed checkpoints, backlogs, incomplete ones and lone JSONs among them."""
    places = draw(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 6)), max_size=12, unique=True))
    return [
        ranked(
            manifest_of(
                draw(st.sampled_from([f"checkpoint-{seq}", "last", "best"])),
                draw(st.integers(0, 6)),
                epoch=epoch,
                seq=seq,
                rank_epoch=draw(st.integers(0, epoch)),
                weights=draw(st.sampled_from([True, True, True, False])),
                complete=draw(st.sampled_from([True, True, True, False])),
                kind=draw(st.sampled_from(["huggingface", "huggingface", "of-a-later-version"])),
            )
        )
        for epoch, seq in places
    ]


retentions = st.builds(Retention, st.integers(0, 4), st.integers(0, 4))


def counting(history: list[Ranked]) -> list[Ranked]:
    """Newest first."""
    complete = [one for one in history if one.manifest.complete and one.manifest.rank.weights]
    return sorted((one for one in complete if one.manifest.kind == "huggingface"), key=lambda one: one.order, reverse=True)


def keys(those: Iterable[Ranked]) -> set[str]:
    return {one.key for one in those}


def latest_of(history: list[Ranked], nth: int = 0) -> Latest:
    complete = sorted((one for one in history if one.manifest.complete), key=lambda one: one.order, reverse=True)
    return named(complete[nth % len(complete)], 1, "x") if complete else NOTHING


@given(histories(), retentions, st.integers(0, 3))
def test_what_a_restore_goes_by_stays(history: list[Ranked], retention: Retention, nth: int) -> None:
    latest = latest_of(history, nth)
    gone = doomed(history, latest, retention)
    assert keys(gone).isdisjoint(keys(counting(history)[: max(retention.keep_last, 1)]))
    assert not any(latest.manifest is not None and one.order >= ranked_order(latest) for one in gone)
    assert all(one.manifest.rank.weights and one.manifest.kind == "huggingface" for one in gone)
    if retention.keep_every:
        assert all(one.manifest.step % retention.keep_every for one in gone)


def ranked_order(latest: Latest) -> tuple[Rank, int, int, str]:
    assert latest.rank is not None
    assert latest.manifest is not None
    return Ranked(latest.manifest, outline(replace(manifest_of("x", 0), rank=latest.rank))).order


@given(histories(), retentions)
def test_everything_else_goes(history: list[Ranked], retention: Retention) -> None:
    latest = latest_of(history)
    kept = counting(history)[: max(retention.keep_last, 1)]
    gone = doomed(history, latest, retention)
    if not gone:
        return
    assert len(kept) == max(retention.keep_last, 1)
    for one in history:
        if one in gone:
            continue
        manifest = one.manifest
        reasons = (
            one.order >= min(kept[-1].order, ranked_order(latest)),
            not manifest.rank.weights,
            manifest.kind != "huggingface",
            bool(retention.keep_every) and manifest.step % retention.keep_every == 0,
            not _numbered(manifest.checkpoint),
            _save(one) in {_save(other) for other in kept},
        )
        assert any(reasons)


@given(histories(), retentions)
def test_neither_the_order_of_listing_nor_doing_it_again_changes_it(history: list[Ranked], retention: Retention) -> None:
    latest = latest_of(history)
    gone = doomed(history, latest, retention)
    assert keys(doomed(list(reversed(history)), latest, retention)) == keys(gone)
    assert doomed([one for one in history if one not in gone], latest, retention) == ()


@given(histories(), retentions)
def test_a_newer_checkpoint_never_saves_an_older_one(history: list[Ranked], retention: Retention) -> None:
    latest = latest_of(history)
    newer = ranked(manifest_of("newer", 99, epoch=4, seq=1))
    more = [*history, newer]
    assert keys(doomed(history, latest, retention)) <= keys(doomed(more, latest_of(more), retention))


@given(histories(), retentions)
def test_what_was_pinned_and_never_committed_goes_where_it_might_have(history: list[Ranked], retention: Retention) -> None:
    latest = latest_of(history)
    at = cut(history, latest, retention)
    for one in history:
        if one.manifest.kind == "huggingface":
            gone = one in doomed(history, latest, retention)
            assert at.dooms(one.manifest.rank, one.manifest.epoch, one.manifest.seq) or not gone


def _numbered(name: str) -> bool:
    return name not in ("last", "best")


def _save(one: Ranked) -> tuple[bool, int, int]:
    return _numbered(one.manifest.checkpoint), one.manifest.rank.epoch, one.manifest.rank.step


FIVE = [ranked(manifest_of(f"checkpoint-{n}", n, seq=n)) for n in range(1, 6)]


def gone(history: list[Ranked], *, last: int = 0, every: int = 0, latest: Latest | None = None) -> list[int]:
    return [one.manifest.step for one in doomed(history, latest or latest_of(history), Retention(last, every))]


def test_the_last_ones_stay_and_every_so_manieth() -> None:
    assert gone(FIVE, last=2) == [1, 2, 3]
    assert gone(FIVE, last=2, every=2) == [1, 3]
    assert gone(FIVE, every=2) == [1, 3]


def test_without_retention_all_stay() -> None:
    assert gone(FIVE) == []


def test_while_too_few_count_all_stay() -> None:
    assert gone(FIVE, last=6) == []
    incomplete = ranked(manifest_of("checkpoint-0", 0, seq=9, complete=False))
    assert gone([*FIVE, incomplete], last=6) == []
    assert gone([*FIVE, incomplete], last=5) == [0]


def test_where_latest_lags_behind_all_above_it_stay() -> None:
    assert gone(FIVE, last=1, latest=named(FIVE[1], 1, "x")) == [1]


def test_where_latest_names_nothing_all_stay() -> None:
    assert gone(FIVE, last=1, latest=NOTHING) == []


def test_latest_on_a_lone_json_keeps_all() -> None:
    notes = ranked(manifest_of("notes.json", 9, {"notes.json": b"{}"}, seq=9, weights=False, kind="file"))
    assert gone([*FIVE, notes], last=1, latest=named(notes, 1, "x")) == []
    assert gone([*FIVE, notes], last=1) == [1, 2, 3, 4]


def test_what_cant_be_restored_by_this_version_neither_counts_nor_goes() -> None:
    manifest = manifest_of("checkpoint-5", 5, seq=5)
    later = ranked(replace(manifest, files=tuple(replace(file, encoding="brotli") for file in manifest.files)))
    assert later.key == FIVE[4].key
    assert gone([*FIVE[:4], later], last=1) == [1, 2, 3]
    assert gone([later, *FIVE[:4], ranked(manifest_of("checkpoint-6", 6, seq=6))], last=1) == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ["a", "z"])
def test_two_of_one_epoch_and_seq_go_together_or_not_at_all(name: str) -> None:
    twin = ranked(manifest_of(name, 9, seq=1, rank_epoch=1))
    assert name_of(twin) == name_of(FIVE[0])
    assert gone([*FIVE, twin], last=2) == [2, 3, 4]


def names(history: list[Ranked], retention: Retention) -> list[str]:
    return [one.manifest.checkpoint for one in doomed(history, latest_of(history), retention)]


def test_the_best_one_stays_though_it_is_old() -> None:
    history = [ranked(manifest_of("best.pt", 100, seq=1))]
    history += [ranked(manifest_of("last.pt", 100 + seq, seq=seq)) for seq in range(2, 6)]
    assert names(history, Retention(2, 0)) == ["last.pt", "last.pt"]


def test_only_the_newest_of_a_name_that_is_rewritten_stays() -> None:
    history = [ranked(manifest_of("last.pt", 0, seq=seq)) for seq in range(1, 5)]
    assert [one.manifest.seq for one in doomed(history, latest_of(history), Retention(1, 0))] == [1, 2, 3]


def test_what_was_saved_together_stays_together() -> None:
    history = [
        ranked(manifest_of(f"{what}_{step}.pt", step, seq=2 * step + at))
        for step in (1, 2, 3)
        for at, what in enumerate(("model", "optim"))
    ]
    assert names(history, Retention(1, 0)) == ["model_1.pt", "optim_1.pt", "model_2.pt", "optim_2.pt"]
