"""Rank: a total order of manifests."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.contract.keys import Keys
from runctl_agent.contract.manifest import Manifest, Rank, newest, order, ranked

from .strategies import RELAXED, small_ranks
from .test_manifest import EXAMPLE

KEYS = Keys("", "r")


def key(epoch: int, seq: int) -> str:
    return KEYS.relative(KEYS.manifest(epoch, seq, "c"))


keys = st.builds(key, st.integers(0, 2), st.integers(0, 2))
orders = st.tuples(small_ranks, keys)


@RELAXED
@given(orders, orders, orders)
def test_the_order_is_total(a: tuple[Rank, str], b: tuple[Rank, str], c: tuple[Rank, str]) -> None:
    first, second, third = order(*a), order(*b), order(*c)
    assert (first < second) + (second < first) + (first == second) == 1
    assert (first == second) == (a == b)
    if first <= second <= third:
        assert first <= third


@RELAXED
@given(st.dictionaries(keys, st.tuples(small_ranks, st.booleans()), max_size=9))
def test_the_newest_does_not_depend_on_the_order_of_listing(found: dict[str, tuple[Rank, bool]]) -> None:
    listing = [(name, replace(EXAMPLE, rank=rank, complete=complete)) for name, (rank, complete) in found.items()]
    backwards = list(reversed(listing))
    assert ranked(listing) == ranked(backwards)
    assert all(manifest.complete for _, manifest in ranked(listing))
    assert all(order(a[1].rank, a[0]) > order(b[1].rank, b[0]) for a, b in pairwise(ranked(listing)))


def with_rank(*rank: int) -> Manifest:
    weights, epoch, step, seq = rank
    return replace(EXAMPLE, rank=Rank(bool(weights), epoch, step, seq))


def test_a_lone_json_never_outranks_weights() -> None:
    assert newest([(key(1, 1), with_rank(1, 0, 0, 0)), (key(2, 2), with_rank(0, 9, 999, 9))]) == (
        key(1, 1),
        with_rank(1, 0, 0, 0),
    )


def test_an_old_disk_come_back_never_beats_a_newer_run() -> None:
    backlog = (key(5, 1), with_rank(1, 1, 10_000, 1))
    newer = (key(4, 9), with_rank(1, 4, 500, 9))
    assert newest([backlog, newer]) == newer


def test_equal_ranks_of_two_epochs_are_told_apart_by_the_key() -> None:
    rank = with_rank(1, 3, 500, 2)
    assert newest([(key(3, 2), rank), (key(4, 2), rank)]) == (key(4, 2), rank)


def test_nothing_complete_means_nothing_newest() -> None:
    assert newest([]) is None
    assert newest([(key(1, 1), replace(EXAMPLE, complete=False))]) is None
