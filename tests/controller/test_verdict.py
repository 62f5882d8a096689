"""What decides whether a run has ended, case by case."""

from __future__ import annotations

from typing import Any

import pytest

from runctl.fleet import machine_of, same_life
from runctl.known import known
from runctl.moment import Moments
from runctl.sight import line, listed, safe, standing
from runctl.silence import heard_nothing, reasons, silent_for
from runctl.verdict import Outcome, Verdict, judge, needs_status
from runctl_agent.contract.phases import TERMINAL, Phase
from runctl_agent.contract.status import State
from runctl_agent.contract.tags import EXIT, PHASE, slot_key
from tests.controller.described import ID, LAUNCHED, described, posted, state

ANOTHER = "i-00000000000000009"
OLD = {"boot_time": LAUNCHED - 5000, "heartbeat": LAUNCHED - 10}


def judged(instance: dict[str, Any] | None, status: State | None = None) -> Verdict | None:
    return judge(known("gpt2", "s3://bucket/runs", None if instance is None else machine_of(instance), status))


def outcome(instance: dict[str, Any] | None, status: State | None = None) -> Outcome | None:
    verdict = judged(instance, status)
    return None if verdict is None else verdict.outcome


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("power", ["pending", "running", "stopping", "shutting-down"])
def test_the_agents_own_word_decides_while_the_instance_is_there(phase: Phase, power: str) -> None:
    found = outcome(posted(state(phase), power=power))
    assert found == (Outcome(phase.value) if phase in TERMINAL else None)


@pytest.mark.parametrize(
    ("phase", "code"), [(Phase.FINISHED, 0), (Phase.FAILED, 10), (Phase.STOPPED, 11), (Phase.INTERRUPTED, 11)]
)
def test_exit_codes(phase: Phase, code: int) -> None:
    verdict = judged(posted(state(phase, exit_code=7)))
    assert verdict is not None
    assert (verdict.outcome.exit_code, verdict.exit_code) == (code, 7)
    assert Outcome.GONE.exit_code == 11


@pytest.mark.parametrize("power", ["stopped", "terminated"])
def test_gone_without_a_terminal_state(power: str) -> None:
    for instance in (described(power=power), posted(state(Phase.TRAINING), power=power)):
        assert outcome(instance) is Outcome.GONE


@pytest.mark.parametrize(
    "status",
    [
        state(Phase.FINISHED, instance=ANOTHER),
        state(Phase.FINISHED, **OLD),
        state(Phase.FINISHED, boot_time=LAUNCHED - 30, heartbeat=LAUNCHED),
    ],
    ids=["another instance", "an earlier boot", "posted before the launch"],
)
def test_what_is_of_another_life_decides_nothing(status: State) -> None:
    assert not same_life(status, machine_of(described()))
    assert outcome(described(), status) is None
    assert outcome(posted(status), None) is None
    verdict = judged(posted(status, power="terminated"), status)
    assert verdict is not None
    assert (verdict.outcome, verdict.exit_code, verdict.known.current) == (Outcome.GONE, None, False)


def test_plain_tags_decide_nothing() -> None:
    plain = {PHASE: "failed", EXIT: "3"}
    assert outcome(described(tags=plain)) is None
    verdict = judged(described(tags=plain, power="terminated"))
    assert verdict is not None
    assert verdict.exit_code is None


def test_of_tags_and_status_json_the_later_decides() -> None:
    training, finished = state(Phase.TRAINING), state(Phase.FINISHED, heartbeat=LAUNCHED + 101, exit_code=0)
    assert outcome(posted(training), finished) is Outcome.FINISHED
    assert outcome(posted(finished), training) is Outcome.FINISHED
    assert outcome(posted(state(Phase.TRAINING, heartbeat=LAUNCHED + 102)), finished) is None
    assert outcome(posted(training), state(Phase.FAILED)) is Outcome.FAILED, "in the same second the end is the later"


def test_a_run_that_ec2_has_forgotten() -> None:
    assert outcome(None, state(Phase.FINISHED)) is Outcome.FINISHED
    assert outcome(None, state(Phase.TRAINING)) is Outcome.GONE
    assert outcome(None) is Outcome.GONE


def test_a_torn_slot_is_no_word() -> None:
    instance = posted(state(Phase.FINISHED, error="x" * 300))
    for tag in instance["Tags"]:
        if tag["Key"] == slot_key("a", 0):
            tag["Value"] = tag["Value"][:-1]
    assert outcome(instance) is None
    seen = known("gpt2", "", machine_of(instance))
    assert "slot a" in seen.reason
    assert not seen.durable


@pytest.mark.parametrize(
    ("instance", "now", "needed"),
    [
        (None, 0, True),
        (described(), 200, True),
        (posted(state(Phase.TRAINING)), 200, False),
        (posted(state(Phase.TRAINING)), 701, True),
        (posted(state(Phase.TRAINING), power="terminated"), 200, True),
        (posted(state(Phase.FINISHED), power="terminated"), 10_000, False),
    ],
)
def test_when_status_json_is_asked(instance: dict[str, Any] | None, now: int, needed: bool) -> None:
    machine = None if instance is None else machine_of(instance)
    assert needs_status(machine, LAUNCHED + now, 600) == needed


def test_durable_is_only_what_proves_it() -> None:
    def durable(found: State, **more: Any) -> bool:
        return known("gpt2", "", machine_of(posted(found, **more))).durable

    assert durable(state(Phase.STOPPED), power="stopped")
    assert not durable(state(Phase.STOPPED, pending_checkpoints=1))
    assert not durable(state(Phase.STOPPED, pending_bytes=1))
    assert not durable(state(Phase.TRAINING))
    assert not durable(state(Phase.STOPPED, **OLD))


def test_in_words() -> None:
    seen = known("gpt2", "", machine_of(posted(state(Phase.TRAINING, step=4, committed_at=LAUNCHED, pending_bytes=2048))))
    assert line(seen) == f"training on {ID}"
    assert safe(seen, Moments(LAUNCHED + 90.0)) == "step 4 safe 90 s ago"
    assert standing(seen, Moments(LAUNCHED + 112.0)) == "step 4 safe 112 s ago, 2.0 KiB behind as of 12 s ago"
    exactly = "step 4 safe since 2027-01-15 08:00:00Z, 2.0 KiB behind as of 2027-01-15 08:01:40Z"
    assert standing(seen, Moments(LAUNCHED + 112.0, exact=True)) == exactly
    nothing = known("gpt2", "", machine_of(described(power="stopping")))
    assert line(nothing) == f"nothing reported yet by {ID} (stopping)"
    assert "ec2:CreateTags" in heard_nothing(nothing)
    only_s3 = known("gpt2", "", machine_of(described()), state(Phase.TRAINING))
    assert "posts no tags" in heard_nothing(only_s3)
    assert standing(only_s3, Moments(LAUNCHED + 100.0)) == "nothing safe yet, 0 B behind as of 0 s ago, in status.json"


def test_what_can_not_be_any_more_is_not_said() -> None:
    """A machine that is gone sends nothing, and is behind with nothing: it was, when it was heard last."""
    lost = known("gpt2", "", machine_of(posted(state(Phase.TRAINING, pending_bytes=2048), power="terminated")))
    assert standing(lost, Moments(LAUNCHED + 400.0)) == "nothing safe yet, 2.0 KiB behind when last heard, 5 min ago"
    done = known("gpt2", "", machine_of(posted(state(Phase.FINISHED, step=9, committed_at=LAUNCHED))))
    assert standing(done, Moments(LAUNCHED + 60.0)) == "step 9 safe 60 s ago, everything is durable"


@pytest.mark.parametrize(("after", "silent"), [(600, None), (701, 601)])
def test_an_agent_is_silent_once_a_heartbeat_is_long_due(after: int, silent: int | None) -> None:
    seen = known("gpt2", "", machine_of(posted(state(Phase.TRAINING))))
    assert silent_for(seen, LAUNCHED + after) == silent
    assert listed(seen, LAUNCHED + after) == ("training" if silent is None else "silent (training)")
    assert bool(reasons(seen, LAUNCHED + after)) == (silent is not None)


@pytest.mark.parametrize(
    ("phase", "power"), [(Phase.FINISHED, "running"), (Phase.TRAINING, "stopping"), (Phase.TRAINING, "terminated")]
)
def test_who_need_not_be_heard_is_not_silent(phase: Phase, power: str) -> None:
    assert silent_for(known("gpt2", "", machine_of(posted(state(phase), power=power))), LAUNCHED + 9000) is None


def test_an_agent_that_never_reported_has_its_likely_reasons() -> None:
    seen = known("gpt2", "", machine_of(described()))
    assert (silent_for(seen, LAUNCHED + 300), silent_for(seen, LAUNCHED + 301)) == (None, 301)
    (why,) = reasons(seen, LAUNCHED + 301)
    assert "the image has no agent" in why
