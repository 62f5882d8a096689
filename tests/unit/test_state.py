"""The one transition table, and the conditions beside it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.contract.phases import TERMINAL, Condition, ConditionName, Phase
from runctl_agent.errors import StoreRefused, StoreUnavailable, TagsRefused, WrongStateError
from runctl_agent.training.evidence import Outcome, Verdict
from runctl_agent.training.state import (
    STUCK_AFTER,
    TABLE,
    Life,
    Sync,
    advance,
    again,
    begin,
    clear_condition,
    follow,
    raise_condition,
    refusal,
    route,
    sync_conditions,
)

DRAWN = {
    ("starting", "setup"),
    ("setup", "restoring"),
    ("restoring", "training"),
    ("starting", "waiting"),
    ("starting", "finished"),
    ("starting", "stopped"),
    ("waiting", "training"),
    ("training", "finishing"),
    ("finishing", "finished"),
    ("saving", "interrupted"),
    ("saving", "stopped"),
    *((phase, "saving") for phase in ("starting", "setup", "restoring", "waiting", "training", "finishing")),
    *((phase, "failed") for phase in ("starting", "setup", "restoring", "waiting", "training", "finishing", "saving")),
}
NOW = 1_800_000_000.7
phases = st.sampled_from(list(Phase))


def life(phase: Phase, **changes: object) -> Life:
    return replace(Life("boot-1", 1, phase, 5), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("target", list(Phase))
def test_what_is_not_drawn_cannot_happen(phase: Phase, target: Phase) -> None:
    if (phase, target) in DRAWN:
        assert advance(phase, target) is target
    else:
        with pytest.raises(WrongStateError, match=f"phase {phase} can't become {target}"):
            advance(phase, target)


def test_every_phase_has_its_row_and_its_own_sentence() -> None:
    assert set(TABLE) == set(Phase)
    assert len({row.sentence for row in TABLE.values()}) == len(Phase)


@given(phases, phases)
def test_a_route_is_made_of_steps_of_the_table(start: Phase, target: Phase) -> None:
    way = route(start, target)
    at = start
    for step in way:
        at = advance(at, step)
    assert at is (target if way else start)
    assert len(set(way)) == len(way)
    if start in TERMINAL:
        assert way == ()


@given(phases, st.sampled_from(list(Outcome)), st.sampled_from([None, 0, 1, 137]), st.booleans())
def test_a_verdict_leads_through_the_table_and_never_out_of_an_end(
    phase: Phase, outcome: Outcome, code: int | None, durable: bool
) -> None:
    before = life(phase)
    lives = follow(before, Verdict(outcome, code, "why"), NOW, durable=durable)
    at = before
    for after in lives:
        at = at.to(after.phase, NOW)
        assert after.phase is at.phase
    if phase in TERMINAL or phase is Phase.SAVING:
        assert lives == ()
    assert durable or at.phase is not Phase.FINISHED or phase is Phase.FINISHED


def names(lives: tuple[Life, ...]) -> list[str]:
    return [str(each.phase) for each in lives]


def test_an_attached_training_from_the_start_to_its_end() -> None:
    now = life(Phase.STARTING)
    for outcome, durable, expected in [
        (Outcome.WAITING, False, ["waiting"]),
        (Outcome.RUNNING, False, ["training"]),
        (Outcome.RUNNING, False, []),
        (Outcome.FINISHING, False, ["finishing"]),
        (Outcome.FINISHED, False, ["finishing"]),
        (Outcome.FINISHED, False, []),
        (Outcome.FINISHED, True, ["finished"]),
        (Outcome.FAILED, True, []),
    ]:
        lives = follow(now, Verdict(outcome, 0 if outcome is Outcome.FINISHED else None, ""), NOW, durable=durable)
        assert names(lives) == expected
        now = lives[-1] if lives else now
    assert (now.phase, now.exit_code, now.since) == (Phase.FINISHED, 0, int(NOW))


def test_a_training_that_came_and_went_unseen_passes_through_every_phase() -> None:
    lives = follow(life(Phase.STARTING), Verdict(Outcome.FINISHED, 0, ""), NOW, durable=True)
    assert names(lives) == ["waiting", "training", "finishing", "finished"]
    assert [each.exit_code for each in lives] == [None, None, None, 0]
    failed = follow(life(Phase.WAITING), Verdict(Outcome.FAILED, 1, ""), NOW, durable=False)
    assert names(failed) == ["failed"]
    assert failed[0].exit_code == 1


def test_a_training_that_was_asked_to_end_does_not_fail_by_ending() -> None:
    assert follow(life(Phase.SAVING), Verdict(Outcome.FAILED, 143, ""), NOW, durable=True) == ()


def test_to_stay_is_no_transition_and_keeps_since() -> None:
    here = life(Phase.TRAINING)
    assert here.to(Phase.TRAINING, NOW) is here
    assert here.to(Phase.FINISHING, NOW).since == int(NOW)


def test_an_end_belongs_to_its_boot_and_attempt() -> None:
    first = begin("boot-1", NOW)
    assert (first.attempt, first.phase) == (1, Phase.STARTING)
    done = life(Phase.FINISHED, exit_code=0)
    assert begin("boot-1", NOW, done) is done
    rebooted = begin("boot-2", NOW, done)
    assert (rebooted.phase, rebooted.attempt, rebooted.exit_code) == (Phase.STARTING, 2, None)
    restarted = begin("boot-1", NOW, life(Phase.TRAINING))
    assert (restarted.phase, restarted.attempt) == (Phase.STARTING, 1)


def test_a_new_training_process_after_an_end_is_a_new_attempt() -> None:
    stuck = raise_condition(life(Phase.FAILED, exit_code=1), ConditionName.SYNC_STUCK, "stuck", NOW)
    following = again(stuck, NOW)
    assert (following.phase, following.attempt, following.exit_code) == (Phase.WAITING, 2, None)
    assert following.conditions == stuck.conditions
    with pytest.raises(WrongStateError, match="still training"):
        again(life(Phase.TRAINING), NOW)


def test_a_condition_keeps_its_since_until_it_is_cleared() -> None:
    now = raise_condition(life(Phase.TRAINING), ConditionName.SYNC_STUCK, "first", 100.9)
    now = raise_condition(now, ConditionName.SYNC_STUCK, "second", 200.0)
    assert now.conditions == (Condition(ConditionName.SYNC_STUCK, 100, "second"),)
    now = clear_condition(now, ConditionName.SYNC_STUCK)
    assert now.conditions == ()
    assert clear_condition(now, ConditionName.SYNC_STUCK).conditions == ()
    assert raise_condition(now, ConditionName.SYNC_STUCK, "third", 300.0).conditions[0].since == 300


@given(st.lists(st.tuples(st.sampled_from(list(ConditionName)), st.booleans())))
def test_conditions_stand_once_and_in_order(steps: list[tuple[ConditionName, bool]]) -> None:
    now = life(Phase.TRAINING)
    expected: set[ConditionName] = set()
    for name, up in steps:
        now = raise_condition(now, name, "m", NOW) if up else clear_condition(now, name)
        (expected.add if up else expected.discard)(name)
    assert [condition.name for condition in now.conditions] == [name for name in ConditionName if name in expected]


@pytest.mark.parametrize(
    ("facts", "stuck"),
    [
        (Sync(), False),
        (Sync(pending_bytes=0, pending_since=NOW - 9999, last_sent_at=NOW - 9999), False),
        (Sync(pending_checkpoints=1, pending_since=NOW - STUCK_AFTER), True),
        (Sync(pending_bytes=1, pending_since=NOW - STUCK_AFTER), True),
        (Sync(pending_bytes=1, pending_since=NOW - STUCK_AFTER + 1), False),
        (Sync(pending_bytes=1, pending_since=NOW - 9999, last_sent_at=NOW - STUCK_AFTER + 1), False),
        (Sync(pending_bytes=1, pending_since=NOW - 9999, last_sent_at=NOW - STUCK_AFTER), True),
        (Sync(pending_bytes=1, pending_since=NOW - 1, last_sent_at=NOW - 9999), False),
        (Sync(pending_bytes=1), False),
        (Sync(pending_bytes=1, pending_since=NOW + 9999), False),
    ],
)
def test_sync_is_stuck_after_5_minutes_without_a_byte_while_bytes_wait(facts: Sync, stuck: bool) -> None:
    names = [condition.name for condition in sync_conditions(life(Phase.TRAINING), facts, NOW).conditions]
    assert names == ([ConditionName.SYNC_STUCK] if stuck else [])


def test_every_condition_comes_of_its_fact_and_goes_with_it() -> None:
    facts = Sync(
        7,
        NOW - 9999,
        None,
        "connection reset",
        refused="denied",
        fenced="f",
        disk_full="d",
        incomplete="i",
        at_risk="a",
        stalled="s",
        idle="idle",
    )
    found = sync_conditions(life(Phase.TRAINING), facts, NOW)
    assert [(condition.name, condition.message) for condition in found.conditions] == [
        (ConditionName.STALLED, "s"),
        (ConditionName.SYNC_STUCK, "nothing sent for 5 minutes, 7 B pending: connection reset"),
        (ConditionName.FENCED, "f"),
        (ConditionName.DISK_FULL, "d"),
        (ConditionName.NO_PERMISSION, "denied"),
        (ConditionName.AT_RISK, "a"),
        (ConditionName.IDLE, "idle"),
        (ConditionName.INCOMPLETE, "i"),
    ]
    assert {condition.name for condition in found.conditions} == set(ConditionName)
    one_left = sync_conditions(found, Sync(stalled="still"), NOW + 60)
    assert one_left.conditions == (replace(found.conditions[0], message="still"),), "and since when stays"
    assert sync_conditions(one_left, Sync(), NOW).conditions == ()


def test_only_a_refusal_is_a_want_of_permission() -> None:
    assert refusal(StoreRefused("PUT was refused", "AccessDenied", "grant s3:PutObject")) == (
        "PUT was refused: AccessDenied; grant s3:PutObject"
    )
    assert refusal(TagsRefused("tags")) == "tags"
    assert refusal(StoreUnavailable("down")) == refusal(ValueError("x")) == refusal(None) == ""
