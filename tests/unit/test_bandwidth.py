"""No more than the limit goes through, whoever takes it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.store.bandwidth import LARGEST, SMALLEST, Limiter
from runctl_agent.store.body import body_of
from tests.fakes.clock import FakeRuntime


@given(st.integers(1, 10**9), st.lists(st.tuples(st.integers(0, 10**7), st.floats(0, 10)), min_size=1, max_size=30))
def test_over_any_while_no_more_than_the_rate(rate: int, takes: list[tuple[int, float]]) -> None:
    clock = FakeRuntime()
    limiter = Limiter(clock, rate)
    began, taken = clock.monotonic(), 0
    for count, pause in takes:
        limiter.take(count)
        assert taken <= (clock.monotonic() - began) * rate * (1 + 1e-9) + 1
        taken += count
        clock.sleep(pause)


def test_no_limit_never_waits() -> None:
    clock = FakeRuntime()
    began = clock.monotonic()
    limiter = Limiter(clock, 0)
    limiter.take(10**12)
    assert not limiter.limits
    assert clock.monotonic() == began


def test_a_body_goes_in_small_pieces_each_in_its_time() -> None:
    clock = FakeRuntime()
    began = clock.monotonic()
    data = bytes(range(256)) * 1000
    body = body_of(data, Limiter(clock, 100_000))
    assert not isinstance(body, bytes)
    pieces = list(iter(lambda: body.read(1 << 20), b""))
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) == SMALLEST
    assert clock.monotonic() - began >= (len(data) - SMALLEST) / 100_000
    body.seek(0)
    assert body.read(10) == data[:10], "a request that failed is sent again"


def test_a_high_limit_lets_larger_pieces_through_and_waits_less_often() -> None:
    clock = FakeRuntime()
    assert [Limiter(clock, rate).piece for rate in (1, 2_000_000, 10**9)] == [SMALLEST, 40_000, LARGEST]


def test_without_a_limit_a_body_stays_as_it_is() -> None:
    data = b"abc"
    assert body_of(data, Limiter(FakeRuntime(), 0)) is data
