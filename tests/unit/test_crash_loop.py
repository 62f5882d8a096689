"""Attempts that were cut short without a new checkpoint are counted in `epoch.json`, over machines."""

from __future__ import annotations

import pytest

from runctl_agent.contract.phases import TERMINAL, Phase
from runctl_agent.store.commit import Committer
from runctl_agent.training.opening import crash_loop, was_cut_short
from tests.fakes.manifests import KEYS, RUN, OwnNonces, committed, manifest_of
from tests.fakes.memory_store import MemoryStore


def writer(store: MemoryStore, instance: str) -> Committer:
    return Committer(store, KEYS, OwnNonces(), RUN, instance)


def counted(store: MemoryStore, instance: str, *, boot: str = "boot", cut_short: bool = True) -> int:
    return writer(store, instance).take_epoch(boot, cut_short=cut_short).attempts_without_progress


def test_each_machine_that_dies_without_a_checkpoint_counts() -> None:
    store = MemoryStore()
    assert [counted(store, f"i-{n}") for n in range(4)] == [0, 1, 2, 3]


def test_another_epoch_of_the_same_boot_is_no_attempt() -> None:
    store = MemoryStore()
    assert [counted(store, instance) for instance in ("i-1", "i-2", "i-2", "i-2", "i-3")] == [0, 1, 1, 1, 2]
    assert counted(store, "i-3", boot="another") == 3


def test_a_checkpoint_that_can_be_resumed_from_is_progress() -> None:
    store = MemoryStore()
    assert [counted(store, "i-1"), counted(store, "i-2")] == [0, 1]
    committed(store, manifest_of("config", 1, epoch=2, seq=1, weights=False))
    assert counted(store, "i-3") == 2, "a lone JSON is none"
    committed(store, manifest_of("checkpoint-1", 1, epoch=3, seq=1, complete=False))
    assert counted(store, "i-4") == 3, "nor is what never became whole"
    committed(store, manifest_of("checkpoint-2", 2, epoch=4, seq=1))
    assert counted(store, "i-5") == 0


def test_a_checkpoint_of_an_attempt_before_is_no_progress_of_the_last() -> None:
    store = MemoryStore()
    assert counted(store, "i-1") == 0
    committed(store, manifest_of("checkpoint-1", 1, epoch=1, seq=1))
    assert [counted(store, "i-2"), counted(store, "i-3")] == [0, 1]


def test_an_attempt_that_is_not_said_to_be_cut_short_does_not_count() -> None:
    store = MemoryStore()
    assert [counted(store, "i-1"), counted(store, "i-2")] == [0, 1]
    assert writer(store, "i-3").take_epoch("boot").attempts_without_progress == 0


def test_what_ended_by_itself_or_was_asked_to_does_not_count() -> None:
    store = MemoryStore()
    assert [counted(store, "i-1"), counted(store, "i-2"), counted(store, "i-3", cut_short=False)] == [0, 1, 0]


@pytest.mark.parametrize("phase", list(Phase))
def test_only_what_is_interrupted_or_never_said_is_cut_short(phase: Phase) -> None:
    assert was_cut_short(phase) == (phase is Phase.INTERRUPTED or phase not in TERMINAL)


@pytest.mark.parametrize(("attempts", "limit", "ends"), [(0, 3, False), (2, 3, False), (3, 3, True), (9, 3, True), (9, 0, False)])
def test_the_limit(attempts: int, limit: int, ends: bool) -> None:
    assert bool(crash_loop(attempts, limit)) == ends
