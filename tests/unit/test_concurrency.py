"""Fewer requests when the store asks for it, more while all goes well; never more than allowed at once."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.errors import SlowDown
from runctl_agent.runtime import ThreadRuntime, run_pool
from runctl_agent.store.concurrency import Aimd, Concurrency
from tests.fakes.uploads import BIG, PART, Bench


def test_it_begins_with_all() -> None:
    assert Aimd(8).limit == 8


def test_a_refusal_halves_it_once_a_round() -> None:
    aimd = Aimd(8)
    for _ in range(8):
        aimd.refused(10.0)
    assert aimd.limit == 4
    aimd.refused(11.0)
    assert aimd.limit == 2


def test_a_round_that_went_well_adds_one() -> None:
    aimd = Aimd(8)
    aimd.refused(0.0)
    for _ in range(5):
        aimd.went_well()
    assert aimd.limit == 5


@given(st.integers(1, 16), st.lists(st.floats(0, 100) | st.none(), max_size=200))
def test_it_stays_between_one_and_all(most: int, events: list[float | None]) -> None:
    aimd = Aimd(most)
    for event in events:
        if event is None:
            aimd.went_well()
        else:
            aimd.refused(event)
        assert 1 <= aimd.limit <= most


def test_never_more_than_the_limit_are_under_way() -> None:
    runtime = ThreadRuntime()
    concurrency = Concurrency(runtime, 8, 1000)
    concurrency.refused()
    active, most, lock = [0], [0], runtime.lock()

    def work(_: int) -> None:
        with concurrency.slot():
            with lock:
                active[0] += 1
                most[0] = max(most[0], active[0])
            runtime.sleep(0)
            with lock:
                active[0] -= 1

    run_pool(runtime, "test", 8, work, range(500))
    assert (active[0], most[0]) == (0, min(most[0], 4))


def test_large_ones_wait_for_the_room_and_the_largest_goes_alone() -> None:
    runtime = ThreadRuntime()
    concurrency = Concurrency(runtime, 8, 100)
    held, most, lock = [0], [0], runtime.lock()

    def work(size: int) -> None:
        with concurrency.slot(size):
            with lock:
                held[0] += size
                most[0] = max(most[0], held[0])
                assert held[0] <= 100 or held[0] == size
            runtime.sleep(0)
            with lock:
                held[0] -= size

    run_pool(runtime, "test", 8, work, [30, 60, 150, 10, 99, 100] * 50)
    assert (held[0], most[0]) == (0, 150)


def test_a_store_that_asks_for_it_gets_fewer_and_everything_arrives(tmp_path: Path) -> None:
    content = bytes(range(256)) * (PART // 16)
    bench = Bench(str(tmp_path), {BIG: content})
    bench.store.fail_next("put_part", SlowDown("503"), times=3)
    limits: list[int] = []
    bench.store.on_call = lambda method, key: limits.append(bench.uploader.concurrency.limit)
    (file,) = bench.send().values()
    assert bench.content(file) == content
    assert limits[0] == 4
    assert min(limits) < 4
    bench.close()
