"""What an agent that comes up does with its run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runctl_agent.contract.phases import TERMINAL, Phase
from runctl_agent.contract.status import State
from runctl_agent.training.opening import Decision, Known, Opening, decide
from runctl_agent.training.state import Life

HERE = Life("boot-2", 2, Phase.STARTING, 5)
BEFORE = Life("boot-1", 1, Phase.TRAINING, 3)
ELSEWHERE = State("gpt2", Phase.TRAINING, "i-before", 100, 7, 200, "0.1.0", epoch=1, attempt=4)
FRESH = Known(replace(HERE, attempt=1), started=False, launched=900, instance="i-here")


def next_boot(phase: Phase, *, launched_before: int | None = 500, launched: int | None = 500) -> Decision:
    before = replace(BEFORE, phase=phase, exit_code=3)
    return decide(Known(HERE, started=False, before=before, launched_before=launched_before, launched=launched))


def test_a_run_that_nobody_knows_begins() -> None:
    assert decide(FRESH) == Decision(Opening.BEGIN, 1)


def test_one_that_was_started_in_this_boot_goes_on() -> None:
    assert decide(replace(FRESH, started=True)).opening is Opening.GO_ON


@pytest.mark.parametrize("phase", sorted({*TERMINAL, Phase.SAVING}))
@pytest.mark.parametrize("started", [True, False])
def test_one_that_ended_in_this_boot_or_is_being_ended_is_left_alone(phase: Phase, started: bool) -> None:
    decision = decide(Known(replace(HERE, phase=phase), started=started, before=BEFORE))
    assert (decision.opening, decision.attempt, decision.outcome) == (Opening.LEAVE, 2, None)


@pytest.mark.parametrize("phase", sorted(set(Phase) - TERMINAL - {Phase.SAVING} | {Phase.INTERRUPTED}))
def test_what_a_boot_cut_short_begins_again(phase: Phase) -> None:
    assert next_boot(phase) == Decision(Opening.BEGIN, 2)


def test_what_finished_is_over_for_good() -> None:
    for launched in (500, 900, None):
        decision = next_boot(Phase.FINISHED, launched=launched)
        assert (decision.opening, decision.attempt, decision.outcome, decision.exit_code) == (
            Opening.LEAVE,
            1,
            Phase.FINISHED,
            3,
        )


@pytest.mark.parametrize("phase", [Phase.FAILED, Phase.STOPPED])
def test_what_failed_or_was_stopped_begins_again_only_when_somebody_started_the_instance(phase: Phase) -> None:
    rebooted, started_anew, unknown = next_boot(phase), next_boot(phase, launched=900), next_boot(phase, launched=None)
    assert (rebooted.opening, rebooted.outcome, rebooted.attempt) == (Opening.LEAVE, phase, 1)
    assert started_anew == Decision(Opening.BEGIN, 2)
    assert unknown == Decision(Opening.BEGIN, 2), "outside EC2 nobody else could have asked"


def test_a_reboot_in_the_middle_of_a_stop_is_stopped() -> None:
    decision = next_boot(Phase.SAVING)
    assert (decision.opening, decision.outcome, decision.attempt) == (Opening.LEAVE, Phase.STOPPED, 1)
    assert next_boot(Phase.SAVING, launched=900) == Decision(Opening.BEGIN, 2)


def test_a_finished_run_whose_journal_is_lost_is_over_by_what_it_published() -> None:
    finished = replace(ELSEWHERE, phase=Phase.FINISHED, instance="i-here", exit_code=0)
    decision = decide(replace(FRESH, elsewhere=finished))
    assert (decision.opening, decision.outcome, decision.attempt) == (Opening.LEAVE, Phase.FINISHED, 4)


def test_what_the_shutdown_ended_has_not_failed() -> None:
    before = replace(BEFORE, phase=Phase.FAILED, exit_code=143)
    assert decide(Known(HERE, started=False, before=before, launched_before=5, launched=5)) == Decision(Opening.BEGIN, 2)


@pytest.mark.parametrize("phase", list(Phase))
def test_another_instance_goes_on_counting(phase: Phase) -> None:
    decision = decide(replace(FRESH, elsewhere=replace(ELSEWHERE, phase=phase)))
    assert decision == Decision(Opening.BEGIN, 5), "somebody launched it"


@pytest.mark.parametrize("phase", list(Phase))
def test_a_replacement_begins_nothing_that_has_ended(phase: Phase) -> None:
    decision = decide(replace(FRESH, replaced=True, elsewhere=replace(ELSEWHERE, phase=phase, exit_code=1)))
    if phase in (Phase.FINISHED, Phase.FAILED, Phase.STOPPED):
        assert (decision.opening, decision.outcome, decision.attempt, decision.exit_code) == (Opening.LEAVE, phase, 4, 1)
    else:
        assert decision == Decision(Opening.BEGIN, 5)


def test_what_this_very_instance_published_is_no_other_instances() -> None:
    assert decide(replace(FRESH, elsewhere=replace(ELSEWHERE, instance="i-here"))) == Decision(Opening.BEGIN, 1)
