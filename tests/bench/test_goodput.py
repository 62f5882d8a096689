"""The simulated part of `bench.recovery`: what must hold whatever the sizes, the times and the machines."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bench.goodput import GB, Live, Terms, Training, goodput, nothing_lost, runctl, shell_loop, useful
from bench.traces import Machine, paid
from runctl_agent.life.notices import EVERY
from tests.contract.strategies import RELAXED

DEAF = partial(runctl, saves_on_signal=False)
SYSTEMS: list[Live] = [runctl, DEAF, shell_loop]

sizes = st.sampled_from([1, 5, 10, 40, 100]).map(lambda size: float(size * GB))
any_terms = st.builds(
    Terms, sizes, every=st.sampled_from([30.0, 120.0, 600.0]), start=st.floats(0, 60), baseline_start=st.floats(0, 60)
)


@st.composite
def machines(draw: st.DrawFn) -> list[Machine]:
    found, at = [], 0.0
    for life in draw(st.lists(st.floats(1, 5000), min_size=1, max_size=6)):
        found.append(Machine(at, at + life, True, draw(st.booleans())))
        at += life + draw(st.floats(1, 1000))
    if draw(st.booleans()):
        found[-1] = replace(found[-1], taken=False, notice=False)
    return found


@pytest.mark.parametrize("live", SYSTEMS)
@RELAXED
@given(terms=any_terms, over=machines())
def test_no_more_is_useful_than_was_paid_for(live: Live, terms: Terms, over: list[Machine]) -> None:
    assert 0 <= useful(live, terms, over) * terms.step <= paid(over)


@pytest.mark.parametrize("live", SYSTEMS)
@RELAXED
@given(terms=any_terms, machine=machines().map(lambda found: found[0]), safe=st.integers(0, 1000))
def test_what_is_safe_was_done_and_what_was_safe_stays(live: Live, terms: Terms, machine: Machine, safe: int) -> None:
    committed, done = live(terms, machine, safe)
    _, most = nothing_lost(terms, machine, safe)
    assert safe <= committed <= done <= most + 1


@RELAXED
@given(terms=any_terms, hours=st.floats(0.5, 20))
def test_without_interruption_only_the_start_and_the_saves_cost(terms: Terms, hours: float) -> None:
    over = [Machine(0.0, hours * 3600, taken=False, notice=False)]
    trained = hours * 3600 - terms.machine - terms.start
    share = terms.every / (terms.every + terms.save)
    for live in SYSTEMS:
        found = useful(live, replace(terms, baseline_start=terms.start), over)
        assert trained * share - 1 <= found <= trained * share + terms.save + 1


@pytest.mark.parametrize("live", SYSTEMS)
@RELAXED
@given(terms=any_terms, hours=st.floats(0.5, 20))
def test_without_interruption_a_larger_checkpoint_is_never_better(live: Live, terms: Terms, hours: float) -> None:
    over = [Machine(0.0, hours * 3600, taken=False, notice=False)]
    assert goodput(live, replace(terms, size=2 * terms.size), over) <= goodput(live, terms, over)


@RELAXED
@given(terms=any_terms, life=st.floats(1, 20_000), safe=st.integers(0, 1000))
def test_a_loss_leaves_no_less_than_the_loop_would(terms: Terms, life: float, safe: int) -> None:
    """Of the same training from the same second, where every checkpoint is sent before the next is there."""
    alike = replace(terms, every=600.0, start=terms.baseline_start, scan=terms.settle + terms.overhead)
    machine = Machine(0.0, life, taken=True, notice=False)
    assert runctl(alike, machine, safe)[0] >= shell_loop(alike, machine, safe)[0]


@pytest.mark.parametrize("live", [runctl, DEAF])
@RELAXED
@given(terms=any_terms, life=st.floats(1, 20_000), safe=st.integers(0, 1000))
def test_a_notice_never_costs_what_was_safe_without_it(live: Live, terms: Terms, life: float, safe: int) -> None:
    """But for what a training would have saved, and sent, in the last seconds, in which it is told to end.

    Where nothing of its saves is known yet, it is told at once, and the checkpoints of those two minutes are never made.
    """
    began = terms.machine + terms.start + (terms.way if safe else 0.0)
    assume(not began < life - terms.notice + EVERY <= began + terms.every + terms.save)
    machine = Machine(0.0, life, taken=True, notice=True)
    told = live(terms, machine, safe)[0]
    lost = live(terms, replace(machine, notice=False, end=life - 16.0), safe)[0]
    assert told >= lost


def test_no_save_is_passed_over_between_two_looks() -> None:
    training = Training(60.0, 0, Terms(1.0 * GB, every=30.0))
    looks = [90.99999999999636 + look / 4 for look in range(400)]
    seen = [step for after, until in pairwise([60.0, *looks]) for _, step in training.saves(after, until)]
    assert seen == [30, 60, 90, 120]


def test_a_small_checkpoint_is_saved_on_the_notice_and_a_large_one_is_not() -> None:
    machine = Machine(0.0, 10_000.0, taken=True, notice=True)
    small, done = runctl(Terms(1.0 * GB), machine, 0)
    assert small == done, "nothing is done again"
    large, done = runctl(Terms(100.0 * GB), machine, 0)
    assert large < done
    assert large == runctl(Terms(100.0 * GB), replace(machine, notice=False), 0)[0]


def test_the_loop_sends_what_was_finished_when_it_looked() -> None:
    """A save ends every 100 s, a look is due every 60 s, a sync takes 1 + 8 s."""
    terms = Terms(10.0 * GB, every=95.0, machine=0.0, baseline_start=0.0)
    ends = {108.9: 0, 128.9: 0, 129.1: 95, 248.9: 95, 249.1: 190}
    assert {end: shell_loop(terms, Machine(0.0, end, taken=True, notice=False), 0)[0] for end in ends} == ends


@RELAXED
@given(terms=any_terms, told=st.floats(0, 5000))
def test_the_last_save_has_every_step_that_was_begun(terms: Terms, told: float) -> None:
    training = Training(0.0, 7, terms)
    done, step = training.last_save(told)
    assert training.steps(told) <= step <= training.steps(told) + 1
    assert told <= done <= told + terms.save + terms.step + 1e-6
