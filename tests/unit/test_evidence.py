"""What decides whether a training has ended, and how."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.contract.malformed import Malformed
from runctl_agent.records import ProcessId
from runctl_agent.training.evidence import LINGER, Evidence, Outcome, Verdict, counts, judge
from runctl_agent.training.record import ExitRecord, decode_record, encode_record

NOW = 1000.0
GRACE = 60.0
BOOT = "boot-1"
TRAINER = ProcessId(4711, 123456, BOOT)
NOTHING = Evidence("gpt2", BOOT)
ALIVE = replace(NOTHING, process=TRAINER)
JUST_GONE = replace(ALIVE, gone_since=NOW - LINGER / 2)
GONE = replace(ALIVE, gone_since=NOW - LINGER)
COMPLETE = NOW - LINGER
GARBAGE = Malformed("the exit-code file holds no exit code (6 bytes)")


def record(code: int = 0, **changes: object) -> ExitRecord:
    plain = ExitRecord("gpt2", 1, TRAINER, code, code - 128 if code > 128 else None, None, 1.0, 2.0, 4096)
    return replace(plain, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("evidence", "outcome", "code", "reason"),
    [
        (NOTHING, Outcome.WAITING, None, "no training has been seen yet"),
        (ALIVE, Outcome.RUNNING, None, "the training process is alive"),
        (JUST_GONE, Outcome.FINISHING, None, "the training has ended, its exit code may still come"),
        (GONE, Outcome.FAILED, None, "the process is gone, exit code unknown"),
        (replace(GONE, exit_code=GARBAGE), Outcome.FAILED, None, f"the process is gone, exit code unknown; {GARBAGE.reason}"),
        (replace(GONE, complete_since=COMPLETE), Outcome.FINISHED, None, "the completion file stands, and no process is left"),
        (
            replace(JUST_GONE, complete_since=COMPLETE),
            Outcome.FINISHING,
            None,
            "the training has ended, its exit code may still come",
        ),
        (
            replace(ALIVE, complete_since=COMPLETE),
            Outcome.FINISHING,
            None,
            "the completion file stands, the process is still alive",
        ),
        (
            replace(ALIVE, complete_since=NOW - GRACE),
            Outcome.FINISHED,
            None,
            "the completion file stands, and its process outlived the grace of 60 s",
        ),
        (replace(JUST_GONE, exit_code=0), Outcome.FINISHED, 0, "the training ended with exit code 0 (exit-code file)"),
        (replace(JUST_GONE, exit_code=3), Outcome.FAILED, 3, "the training ended with exit code 3 (exit-code file)"),
        (replace(ALIVE, exit_code=3), Outcome.FAILED, 3, "the training ended with exit code 3 (exit-code file)"),
        (
            replace(ALIVE, exit_code=0, exit_code_since=NOW),
            Outcome.FINISHING,
            0,
            "the training reports exit code 0 (exit-code file), its process is still alive",
        ),
        (
            replace(ALIVE, exit_code=0, exit_code_since=NOW - GRACE),
            Outcome.FINISHED,
            0,
            "the training ended with exit code 0 (exit-code file), and its process outlived the grace of 60 s",
        ),
        (replace(ALIVE, record=record()), Outcome.FINISHED, 0, "the training ended with exit code 0 (exit record)"),
        (
            replace(GONE, record=record(137, oom_kill=True)),
            Outcome.FAILED,
            137,
            "the training ended with SIGKILL, exit code 137, the kernel killed for want of memory (exit record)",
        ),
        (
            replace(NOTHING, record=record(127, error="'trian' could not be started: No such file"), record_new=True),
            Outcome.FAILED,
            127,
            "the training ended with exit code 127: 'trian' could not be started: No such file (exit record)",
        ),
        # Two sources that disagree: the failure stands.
        (replace(GONE, record=record(), exit_code=1), Outcome.FAILED, 1, "the training ended with exit code 1 (exit-code file)"),
        (replace(GONE, record=record(2), exit_code=0), Outcome.FAILED, 2, "the training ended with exit code 2 (exit record)"),
        (replace(GONE, record=record(2), exit_code=1), Outcome.FAILED, 2, "the training ended with exit code 2 (exit record)"),
        # A process that came and went between two looks.
        (replace(NOTHING, exit_code=0), Outcome.FINISHED, 0, "the training ended with exit code 0 (exit-code file)"),
        (
            replace(NOTHING, record=record(), record_new=True),
            Outcome.FINISHED,
            0,
            "the training ended with exit code 0 (exit record)",
        ),
        (
            replace(NOTHING, pid_seen=True, gone_since=NOW - LINGER),
            Outcome.FAILED,
            None,
            "the process is gone, exit code unknown",
        ),
        # No pid at all.
        (replace(NOTHING, complete_since=NOW), Outcome.FINISHING, None, "the training has ended, its exit code may still come"),
        (replace(NOTHING, complete_since=COMPLETE), Outcome.FINISHED, None, "the completion file stands, and no process is left"),
        (replace(NOTHING, log_since=COMPLETE), Outcome.FINISHED, None, "the log says so, and there is no pid file"),
        # The log is not believed where there is, or was, a pid.
        (replace(ALIVE, log_since=COMPLETE), Outcome.RUNNING, None, "the training process is alive"),
        (replace(GONE, log_since=COMPLETE), Outcome.FAILED, None, "the process is gone, exit code unknown"),
        (replace(NOTHING, pid_seen=True, log_since=COMPLETE), Outcome.WAITING, None, "no training has been seen yet"),
    ],
)
def test_the_order_of_evidence(evidence: Evidence, outcome: Outcome, code: int | None, reason: str) -> None:
    assert judge(evidence, NOW, grace=GRACE) == Verdict(outcome, code, reason)


@pytest.mark.parametrize(
    ("changes", "mine"),
    [
        ({}, True),
        ({"attempt": 9}, True),
        ({"run": "another"}, False),
        ({"process": replace(TRAINER, ticks=1)}, False),
        ({"process": replace(TRAINER, boot_id="boot-0")}, False),
        ({"process": replace(TRAINER, pid=1)}, False),
    ],
)
def test_an_exit_record_counts_for_its_own_process_only(changes: dict[str, object], mine: bool) -> None:
    evidence = replace(GONE, record=record(0, **changes), record_new=True)
    assert counts(evidence) is mine
    assert judge(evidence, NOW).outcome is (Outcome.FINISHED if mine else Outcome.FAILED)


def test_an_old_record_says_nothing_of_a_training_not_seen_yet() -> None:
    assert judge(replace(NOTHING, record=record(1)), NOW).outcome is Outcome.WAITING
    other_boot = record(1, process=replace(TRAINER, boot_id="boot-0"))
    assert judge(replace(NOTHING, record=other_boot, record_new=True), NOW).outcome is Outcome.WAITING


since = st.none() | st.floats(0, NOW)
evidences = st.builds(
    Evidence,
    run=st.just("gpt2"),
    boot_id=st.just(BOOT),
    process=st.sampled_from([None, TRAINER]),
    pid_seen=st.booleans(),
    gone_since=since,
    record=st.none() | st.builds(record, st.integers(0, 255), process=st.sampled_from([TRAINER, replace(TRAINER, ticks=1)])),
    record_new=st.booleans(),
    exit_code=st.none() | st.integers(0, 255) | st.just(GARBAGE),
    exit_code_since=since,
    complete_since=since,
    log_since=since,
)


@given(evidences)
def test_an_exit_code_other_than_0_is_failure_whatever_else_says_otherwise(evidence: Evidence) -> None:
    verdict = judge(evidence, NOW)
    codes = [evidence.exit_code] if isinstance(evidence.exit_code, int) else []
    if evidence.record is not None and counts(evidence):
        codes.insert(0, evidence.record.code)
    wrong = [code for code in codes if code]
    assert (verdict.outcome is Outcome.FAILED and verdict.exit_code == wrong[0]) if wrong else verdict.exit_code in (0, None)
    if codes and not wrong:
        assert verdict.outcome in (Outcome.FINISHED, Outcome.FINISHING)


@given(evidences)
def test_a_live_process_without_an_exit_code_has_failed_in_no_case(evidence: Evidence) -> None:
    verdict = judge(replace(evidence, process=TRAINER, gone_since=None, record=None, exit_code=None), NOW)
    assert verdict.outcome in (Outcome.RUNNING, Outcome.FINISHING, Outcome.FINISHED)
    assert verdict.ended is (evidence.complete_since is not None and NOW - evidence.complete_since >= GRACE)


@given(evidences)
def test_a_process_that_is_gone_ends_within_the_linger(evidence: Evidence) -> None:
    gone = replace(evidence, process=TRAINER, gone_since=evidence.gone_since or NOW)
    assert judge(gone, NOW + LINGER).ended


@given(evidences, st.floats(0, 1e6))
def test_time_alone_never_takes_a_verdict_back(evidence: Evidence, later: float) -> None:
    first = judge(evidence, NOW)
    if first.ended:
        assert judge(evidence, NOW + later) == first


@given(evidences, st.none() | st.floats(0, NOW))
def test_the_log_changes_nothing_where_anything_stronger_speaks(evidence: Evidence, at: float | None) -> None:
    silent = judge(replace(evidence, log_since=None), NOW)
    if silent.outcome is not Outcome.WAITING or evidence.pid_seen:
        assert judge(replace(evidence, log_since=at), NOW) == silent


@given(
    st.builds(
        ExitRecord,
        run=st.text(),
        attempt=st.integers(0, 2**31),
        process=st.builds(ProcessId, st.integers(0, 2**22), st.integers(0, 2**62), st.text()),
        code=st.integers(0, 255),
        signal=st.none() | st.integers(1, 64),
        oom_kill=st.none() | st.booleans(),
        start=st.floats(0, 2**32),
        end=st.floats(0, 2**32),
        peak_rss=st.integers(0, 2**50),
        error=st.text(),
    )
)
def test_a_record_comes_back_as_it_was_written(written: ExitRecord) -> None:
    assert decode_record(encode_record(written)) == written


@given(st.binary())
def test_garbage_is_no_record(body: bytes) -> None:
    assert isinstance(decode_record(body), Malformed)
