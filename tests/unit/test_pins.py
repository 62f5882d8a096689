"""A pin stands before `gc.json` is read, and only grows."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from runctl_agent.contract.gc import Gc, Pin, decode_pin, encode_gc
from runctl_agent.contract.keys import snapshot
from runctl_agent.contract.manifest import Rank
from runctl_agent.errors import StoreUnavailable
from runctl_agent.store.pins import Pins
from tests.fakes.manifests import KEYS, OwnNonces
from tests.fakes.memory_store import MemoryStore
from tests.fakes.store_faults import SomebodyElseFirst

A, B, C = snapshot(1, 1), snapshot(1, 2), snapshot(1, 3)
PIN = KEYS.pin(2, 7)
RANK = Rank(True, 2, 500, 7)


def hold(store: MemoryStore, *names: str, through: dict[str, set[str]] | None = None, rank: Rank | None = RANK) -> frozenset[str]:
    return Pins(store, KEYS, OwnNonces()).hold(2, 7, names, through=through, rank=rank)


def condemn(store: MemoryStore, *names: str) -> None:
    store.put(KEYS.gc, encode_gc(Gc(2, Gc().condemning(names))))


def pin(store: MemoryStore) -> Pin:
    found = decode_pin(store.objects[PIN].body)
    assert isinstance(found, Pin)
    return found


def at_the_first(method: str, key: str, then: Callable[[], object]) -> Callable[[str, str], None]:
    waiting = [then]

    def on_call(called: str, of: str) -> None:
        if (called, of) == (method, key) and waiting:
            waiting.pop()()

    return on_call


def test_what_names_nobody_else_costs_nothing() -> None:
    store = MemoryStore()
    assert hold(store) == frozenset()
    assert store.calls == []


def test_a_pin_names_what_the_checkpoint_will() -> None:
    store = MemoryStore()
    assert hold(store, A, B) == frozenset()
    found = pin(store)
    assert found.names == {A, B}
    assert (found.rank, found.snapshot) == (RANK, snapshot(2, 7))


def test_the_condemned_are_told() -> None:
    store = MemoryStore()
    condemn(store, B, C)
    assert hold(store, A, B) == {B}


def test_gc_is_read_after_the_pin_stands() -> None:
    store = MemoryStore()
    stood: list[bool] = []
    store.on_call = lambda method, key: stood.append(PIN in store.objects) if key == KEYS.gc else None
    assert hold(store, A) == frozenset()
    assert stood == [True]


def test_who_condemns_while_it_is_pinned_is_seen() -> None:
    store = MemoryStore()
    store.on_call = at_the_first("get", KEYS.gc, lambda: condemn(store, A))
    assert hold(store, A) == {A}


def test_data_of_the_condemned_is_as_safe_as_whoever_names_it_too() -> None:
    store = MemoryStore()
    condemn(store, A)
    assert hold(store, A, through={A: {B}}) == frozenset()
    assert hold(store, A, through={A: {B, C}}) == frozenset()
    condemn(store, A, B)
    assert hold(store, A, through={A: {B}}) == {A}
    assert hold(store, A, through={A: {C, B}}) == {A}, "what B alone named may be gone"
    assert pin(store).names == {A}


def test_a_pin_only_grows() -> None:
    store = MemoryStore()
    hold(store, A)
    hold(store, B, rank=None)
    assert pin(store).names == {A, B}
    assert pin(store).rank == RANK


def test_the_same_again_writes_nothing() -> None:
    store = MemoryStore()
    hold(store, A, B)
    hold(store, B)
    assert store.count("put") == 1


def test_a_late_pin_of_an_earlier_try_takes_nothing_away() -> None:
    store = MemoryStore()
    store.delay_next("put", key=PIN)
    hold(store, A)
    hold(store, B)
    store.land_late()
    assert pin(store).names == {A, B}


def test_another_writer_of_the_same_pin_is_added_to() -> None:
    inner = MemoryStore()
    store = SomebodyElseFirst(inner, PIN, lambda: Pins(inner, KEYS, OwnNonces()).hold(2, 7, [A]))
    assert Pins(store, KEYS, OwnNonces()).hold(2, 7, [B]) == frozenset()
    assert pin(inner).names == {A, B}


def test_a_lost_answer_is_decided_by_reading_back() -> None:
    store = MemoryStore()
    store.lose_answer("put", key=PIN)
    assert hold(store, A) == frozenset()
    assert store.count("put") == 1


def test_without_an_answer_nothing_may_be_named() -> None:
    store = MemoryStore()
    store.fail_next("put", times=99)
    with pytest.raises(StoreUnavailable):
        hold(store, A)


def test_where_gc_cant_be_read_everything_is_sent() -> None:
    store = MemoryStore()
    store.put(KEYS.gc, b"{")
    assert hold(store, A, B) == {A, B}


def test_a_pin_that_cant_be_read_is_left_and_everything_is_sent() -> None:
    store = MemoryStore()
    store.put(PIN, b"{")
    assert hold(store, A, B) == {A, B}
    assert store.objects[PIN].body == b"{"
