"""`AtRisk`: said when a checkpoint could not be sent within a notice, and only then."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.training.deadline import MARGIN
from runctl_agent.training.risk import NOTICE, RELIEF, at_risk

GB = 1_000_000_000
ROOM = NOTICE - MARGIN

rates = st.floats(1.0, 1e12)
sizes = st.integers(1, 10**15)


@pytest.mark.parametrize(("size", "rate"), [(None, 1e9), (0, 1e9), (GB, 0.0), (10**15, 0.0), (None, 0.0)])
def test_what_was_never_measured_is_not_guessed(size: int | None, rate: float) -> None:
    assert at_risk(size, rate, 0.0, standing=True, limited=False) == ""


@pytest.mark.parametrize(("factor", "said"), [(0.5, False), (0.999, False), (1.001, True), (10.0, True)])
def test_it_is_said_past_the_notice_less_its_margin(factor: float, said: bool) -> None:
    assert bool(at_risk(int(GB * ROOM * factor), GB, 0.0, standing=False, limited=False)) == said


@pytest.mark.parametrize(("factor", "stands"), [(1.0, True), (RELIEF + 0.01, True), (RELIEF - 0.01, False)])
def test_a_rate_that_wavers_does_not_make_it_flap(factor: float, stands: bool) -> None:
    size = int(GB * ROOM * factor)
    assert bool(at_risk(size, GB, 0.0, standing=True, limited=False)) == stands
    assert at_risk(size, GB, 0.0, standing=False, limited=False) == "", "it does not begin by this"


def test_the_message_has_the_size_the_rate_and_what_mends_it() -> None:
    said = at_risk(100 * 2**30, 2**29, 0.0, standing=False, limited=False)
    assert said.startswith("a checkpoint of 100.0 GiB takes 200 s to send at 512.0 MiB/s, and a notice gives 115 s: ")
    assert "take an instance with a faster network" in said
    assert "bandwidth" not in said
    limited = at_risk(100 * 2**30, 2**29, 0.0, standing=False, limited=True)
    assert "raise `bandwidth`" in limited
    assert "instance" not in limited, "a faster one would be as slow"


def test_an_unsteady_rate_counts_for_less() -> None:
    size = int(GB * ROOM * 0.9)
    assert at_risk(size, GB, 0.0, standing=False, limited=False) == ""
    assert at_risk(size, GB, 0.3 * GB, standing=False, limited=False)


@given(sizes, rates, st.floats(0.0, 1e13), st.booleans())
def test_a_spread_takes_half_of_the_rate_at_most(size: int, rate: float, spread: float, standing: bool) -> None:
    wide = at_risk(size, rate, spread, standing=standing, limited=False)
    assert bool(wide) <= bool(at_risk(size, rate, rate / 2, standing=standing, limited=False))
    assert bool(wide) >= bool(at_risk(size, rate, 0.0, standing=standing, limited=False))


@given(sizes, st.integers(0, 10**12), rates, st.floats(1.0, 100.0), st.booleans())
def test_more_to_send_or_less_to_send_it_by_is_never_safer(
    size: int, more: int, rate: float, slower: float, standing: bool
) -> None:
    if at_risk(size, rate, 0.0, standing=standing, limited=False):
        assert at_risk(size + more, rate, 0.0, standing=standing, limited=False)
        assert at_risk(size, rate / slower, 0.0, standing=standing, limited=False)
