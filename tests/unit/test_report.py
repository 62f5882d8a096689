"""What the agent says of a training that it conducts itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runctl_agent.contract.phases import TERMINAL, ConditionName, Phase
from runctl_agent.contract.status import State
from runctl_agent.errors import JournalError
from runctl_agent.report import Conduct, Facts, Report
from runctl_agent.store.journal import HeldEpoch, Journal, Row, Sending
from runctl_agent.store.progress import PartProgress
from runctl_agent.training.evidence import Outcome, Verdict
from runctl_agent.training.opening import Decision, Known, Opening, decide
from runctl_agent.training.order import Cause, Order
from tests.fakes.clock import FakeRuntime
from tests.fakes.staged_files import finished, staged

MIB = 2**20
WAITING = Verdict(Outcome.WAITING, None, "no training has been seen yet")
RUNNING = Verdict(Outcome.RUNNING, None, "the training process is alive")
KILLED = Verdict(Outcome.FAILED, 143, "the training ended with SIGTERM")
ASKED = Order(Cause.STOP, Phase.STOPPED, "somebody asked for the end")
FACTS = Facts(WAITING, None, True, 1, "", "", "", "", "", (), Conduct())


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(str(tmp_path / "journal.db"), owner="me", alive=lambda owner: owner == "me")
    yield journal
    journal.close()


def report(journal: Journal, boot_id: str = "boot-1", runtime: FakeRuntime | None = None) -> Report:
    made = Report(runtime or FakeRuntime(), "gpt2", journal, boot_id, 1_700_000_000, commanded=True)
    made.recovered()
    return made


def tell(made: Report, verdict: Verdict = WAITING, *, quiet: bool = True, **conduct: Any) -> State:
    return made.tell(replace(FACTS, verdict=verdict, quiet=quiet, conduct=Conduct(**conduct)))


def test_from_the_boot_to_training(journal: Journal) -> None:
    made = report(journal)
    told = [
        tell(made),
        tell(made, stage=Phase.SETUP),
        tell(made, stage=Phase.RESTORING),
        tell(made, RUNNING, stage=Phase.RESTORING),
    ]
    assert [state.phase for state in told] == [Phase.STARTING, Phase.SETUP, Phase.RESTORING, Phase.TRAINING]


def test_how_far_the_preparation_is_stands_first_and_is_no_error(journal: Journal) -> None:
    made = report(journal)
    tell(made, stage=Phase.RESTORING)
    told = tell(made, stage=Phase.RESTORING, doing="restoring: 1.0 GiB of 4.0 GiB are here")
    assert (told.details[0], told.error) == ("restoring: 1.0 GiB of 4.0 GiB are here", "")
    assert "1.0 GiB" not in str(tell(made, RUNNING).details)


def test_an_attempt_is_counted_on(journal: Journal) -> None:
    assert tell(report(journal), decision=Decision(Opening.BEGIN, 5)).attempt == 5


@pytest.mark.parametrize("phase", [Phase.FINISHED, Phase.FAILED, Phase.STOPPED])
def test_the_end_of_an_earlier_boot_stands(journal: Journal, phase: Phase) -> None:
    decision = Decision(Opening.LEAVE, 3, "nobody asked for another", phase, 7)
    told = tell(report(journal), decision=decision)
    assert (told.phase, told.attempt, told.exit_code) == (phase, 3, 7)
    assert any("nobody asked" in detail for detail in told.details)


def test_who_begins_nothing_says_of_the_end_what_was_said_of_it(journal: Journal) -> None:
    """It writes over that: whoever reads the run finds its newest checkpoint and why it failed, before and after."""
    ended = State(
        "gpt2",
        Phase.FAILED,
        "i-1",
        0,
        9,
        9,
        "1",
        attempt=3,
        checkpoint="step-10",
        step=10,
        committed_at=7,
        commits=2,
        error="oom",
    )
    told = tell(report(journal), decision=Decision(Opening.LEAVE, 3, "nobody asked for another", Phase.FAILED, 7, ended))
    assert (told.checkpoint, told.step, told.committed_at, told.commits, told.error) == ("step-10", 10, 7, 2, "oom")
    again = report(journal)
    assert tell(again, decision=decide(Known(again.life, started=False, elsewhere=told))).checkpoint == "step-10"


def test_who_begins_an_attempt_says_nothing_of_the_one_before(journal: Journal) -> None:
    assert tell(report(journal), decision=Decision(Opening.BEGIN, 5)).checkpoint is None


def test_a_preparation_that_fails_is_the_end_with_its_last_lines(journal: Journal) -> None:
    made = report(journal)
    tell(made, stage=Phase.SETUP)
    told = tell(made, stage=Phase.SETUP, failure=("setup ended with exit code 1", "no such package"))
    assert (told.phase, told.error) == (Phase.FAILED, "setup ended with exit code 1")
    assert told.details[:2] == ("setup ended with exit code 1", "no such package")


def test_a_stop_is_saving_until_nothing_runs_and_all_is_durable(journal: Journal) -> None:
    made = report(journal)
    tell(made, RUNNING, stage=Phase.RESTORING)
    assert tell(made, RUNNING, order=ASKED, want="n1").phase is Phase.SAVING
    assert tell(made, KILLED, order=ASKED, over=False).phase is Phase.SAVING
    assert tell(made, KILLED, order=ASKED, over=True, quiet=False).phase is Phase.SAVING
    told = tell(made, KILLED, order=ASKED, over=True, want="n1")
    assert (told.phase, told.exit_code, told.want) == (Phase.STOPPED, 143, "n1")
    assert tell(made, KILLED).phase is Phase.STOPPED


def test_what_is_dropped_while_the_state_is_put_together_is_no_end(journal: Journal) -> None:
    """Its content goes back to the disk to be read: for a moment it is in nobody's books."""
    made = report(journal)
    tell(made, RUNNING, stage=Phase.RESTORING)
    well = Verdict(Outcome.FINISHED, 0, "the training ended with exit code 0")
    dropped = made.tell(replace(FACTS, verdict=well, steady=lambda: False))
    assert (dropped.phase, dropped.pending_checkpoints) == (Phase.FINISHING, 1)
    assert tell(made, well).phase is Phase.FINISHED


def test_an_end_that_stood_before_this_boot_does_so_after_a_restart_of_the_agent(journal: Journal) -> None:
    """Somebody has started the machine to look at it: it is not powered off under him."""
    first = report(journal, "boot-2")
    tell(first, decision=Decision(Opening.LEAVE, 3, "nobody asked for another", Phase.FINISHED, 0))
    again = report(journal, "boot-2")
    tell(again, decision=decide(Known(again.life, started=False)))
    assert (again.life.phase, again.stood) == (Phase.FINISHED, True)
    assert not report(journal, "boot-3").stood


def test_an_end_is_told_though_the_journal_can_t_be_written(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    made = report(journal)
    tell(made, RUNNING, stage=Phase.RESTORING)

    def full(key: str, value: str) -> None:
        raise JournalError("the journal can't be written", "database or disk is full", "free space")

    with monkeypatch.context() as patched:
        patched.setattr(journal, "put", full)
        told = tell(made, KILLED)
        assert told.phase is Phase.FAILED
        assert "disk is full" in told.error
    assert tell(made, KILLED).error == ""
    assert report(journal).life.phase is Phase.FAILED


def test_where_the_journal_can_not_be_read_no_end_of_before_is_told_of_the_training_that_began(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = report(journal)
    tell(made, RUNNING, stage=Phase.RESTORING)
    assert tell(made, KILLED).phase is Phase.FAILED
    made.process_began(another=True)

    def unreadable() -> None:
        raise JournalError("the journal can't be used", "disk I/O error")

    with monkeypatch.context() as patched:
        patched.setattr(journal, "behind", unreadable)
        told = tell(made, RUNNING)
    assert (told.phase in TERMINAL, told.attempt, told.exit_code) == (False, 2, None)
    assert "disk I/O error" in told.error


def test_where_the_journal_can_not_be_read_an_end_is_not_told_as_durable(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = report(journal)
    assert tell(made, RUNNING, stage=Phase.RESTORING).pending_checkpoints == 0

    def unreadable() -> None:
        raise JournalError("the journal can't be used", "disk I/O error")

    with monkeypatch.context() as patched:
        patched.setattr(journal, "trouble", unreadable)
        told = tell(made, KILLED)
    assert (told.phase, told.pending_checkpoints) == (Phase.FAILED, 1)
    assert tell(made, KILLED).pending_checkpoints == 0


def test_what_failed_in_preparation_counts_what_is_on_disk(journal: Journal) -> None:
    made = report(journal)
    tell(made, stage=Phase.SETUP, quiet=False)
    told = tell(made, failure=("setup ended with exit code 1",), quiet=False)
    assert (told.phase, told.pending_checkpoints) == (Phase.FAILED, 1), "its power is left as it is until that is sent"


# --- progress ---


@pytest.fixture
def sent(journal: Journal) -> Row:
    """A checkpoint of 30 MiB, claimed: its first part of three is with S3."""
    journal.take_epoch(HeldEpoch(1, "nonce", 0, 0.0), ())
    journal.add(staged(finished("a.pt", size=30 * MIB, at=FakeRuntime().now())), 1_700_000_000.0)
    row = journal.claim(1_700_000_000.0)
    assert row is not None
    journal.start_upload(row.id, "a.pt", "key", "upload", 10 * MIB)
    land(journal, row, 1)
    return row


def land(journal: Journal, row: Row, number: int) -> None:
    journal.part_done(row.id, "a.pt", "upload", PartProgress(number, 10 * MIB, "etag", 0, ()))


def test_what_is_being_sent_how_fast_and_how_long_it_takes(journal: Journal, sent: Row) -> None:
    runtime = FakeRuntime()
    made = report(journal, runtime=runtime)
    first = tell(made)
    assert (first.sending, first.sending_bytes, first.sent_bytes) == ("a.pt", 30 * MIB, 10 * MIB)
    assert (first.pending_bytes, first.rate, first.eta) == (20 * MIB, 0, None)
    runtime.sleep(4.0)
    land(journal, sent, 2)
    told = tell(made)
    assert (told.sent_bytes, told.pending_bytes) == (20 * MIB, 10 * MIB)
    assert (told.rate, told.eta) == (10 * MIB // 4, 4)
    journal.committed(sent.id, "manifest", 1_700_000_010.0)
    told = tell(made)
    assert (told.sending, told.sending_bytes, told.sent_bytes, told.eta) == (None, 0, 0, None)
    assert (told.failures, told.retry_at) == (0, None)


def test_a_checkpoint_that_is_copied_inside_s3_is_not_stuck(journal: Journal, sent: Row) -> None:
    runtime = FakeRuntime()
    made = report(journal, runtime=runtime)
    for number in (2, 3):
        assert tell(made).conditions == ()
        runtime.sleep(200.0)
        journal.part_done(sent.id, "a.pt", "upload", PartProgress(number, 5 * MIB, "etag", 0, (), copied=True))
    assert tell(made).conditions == ()
    runtime.sleep(301.0)
    assert [condition.name for condition in tell(made).conditions] == [ConditionName.SYNC_STUCK]


def test_what_failed_says_when_it_is_tried_again(journal: Journal, sent: Row) -> None:
    made = report(journal)
    journal.release(sent.id, error="503 SlowDown", next_try=1_700_000_100.5)
    told = tell(made)
    assert (told.sending, told.failures, told.retry_at) == (None, 1, 1_700_000_100)
    told = made.tell(replace(FACTS, failures=4, retry_at=1_700_000_050.0))
    assert (told.failures, told.retry_at) == (4, 1_700_000_050), "nothing at all is tried before that"


def test_what_a_dead_process_had_claimed_is_not_being_sent(tmp_path: Path) -> None:
    path = str(tmp_path / "shared.db")
    flush = Journal(path, owner="flush", alive=lambda owner: True)
    flush.take_epoch(HeldEpoch(1, "nonce", 0, 0.0), ())
    flush.add(staged(finished("a.pt", size=5)), 0.0)
    assert flush.claim(1.0) is not None
    living = Journal(path, owner="daemon", alive=lambda owner: True)
    dead = Journal(path, owner="daemon", alive=lambda owner: False)
    assert living.sending() == Sending("a.pt", 5, 0), "a flush sends it"
    assert dead.sending() is None
    for journal in (flush, living, dead):
        journal.close()


def test_an_abort_that_is_refused_is_told(journal: Journal, sent: Row) -> None:
    made = report(journal)
    journal.drop(sent.id, "it changed")
    told = tell(made)
    assert (told.owed_aborts, told.error) == (1, "")
    (owed,) = journal.owed_aborts()
    journal.abort_failed(owed, error="AbortMultipartUpload key: AccessDenied", next_try=1.0)
    told = tell(made)
    assert told.owed_aborts == 1
    assert "can't be aborted: AbortMultipartUpload key: AccessDenied" in told.error
    assert told.error in told.details
    journal.abort_done(owed)
    told = tell(made)
    assert (told.owed_aborts, told.error) == (0, "")


def test_a_failure_while_it_is_being_stopped_is_no_failure(journal: Journal) -> None:
    made = report(journal)
    tell(made, stage=Phase.SETUP, order=ASKED)
    assert tell(made, failure=("it was cancelled",), order=ASKED, over=True).phase is Phase.STOPPED


@pytest.mark.parametrize(
    ("cause", "outcome"),
    [
        (Cause.STOP, Phase.STOPPED),
        (Cause.NOTICE, Phase.INTERRUPTED),
        (Cause.SHUTDOWN, Phase.INTERRUPTED),
        (Cause.LIMIT, Phase.FAILED),
    ],
)
def test_the_order_says_what_stands_in_the_end(journal: Journal, cause: Cause, outcome: Phase) -> None:
    made, order = report(journal), Order(cause, outcome, "it has run for 3 days, and may for 2")
    tell(made, RUNNING, stage=Phase.RESTORING)
    assert tell(made, RUNNING, order=order).phase is Phase.SAVING
    told = tell(made, KILLED, order=order, over=True)
    assert (told.phase, told.exit_code) == (outcome, 143)
    assert (order.message in told.details[0]) == (outcome is Phase.FAILED)


def test_what_has_ended_by_itself_is_not_stopped(journal: Journal) -> None:
    made, done = report(journal), Verdict(Outcome.FINISHED, 0, "the training ended with exit code 0")
    tell(made, RUNNING, stage=Phase.RESTORING)
    assert tell(made, done, quiet=False).phase is Phase.FINISHING
    assert tell(made, done, quiet=False, order=ASKED, over=True).phase is Phase.FINISHING
    assert tell(made, done, order=ASKED, over=True).phase is Phase.FINISHED


def test_what_still_settles_after_the_end_is_pending(journal: Journal) -> None:
    made = report(journal)
    tell(made, RUNNING, stage=Phase.RESTORING)
    told = [tell(made, KILLED, quiet=False), tell(made, KILLED)]
    assert [(state.phase, state.pending_checkpoints) for state in told] == [(Phase.FAILED, 1), (Phase.FAILED, 0)]


def test_an_agent_that_comes_back_goes_on_saving(journal: Journal) -> None:
    tell(report(journal), RUNNING, order=ASKED)
    assert tell(report(journal), RUNNING, order=ASKED).phase is Phase.SAVING


def test_the_last_life_of_another_boot_is_remembered_over_restarts(journal: Journal) -> None:
    first = report(journal)
    tell(first, RUNNING, stage=Phase.RESTORING)
    tell(first, KILLED)
    for _ in range(2):
        second = report(journal, "boot-2")
        tell(second)
        assert second.before is not None
        assert (second.before.boot_id, second.before.phase, second.before.exit_code) == ("boot-1", Phase.FAILED, 143)
        assert (second.life.attempt, second.life.phase) == (2, Phase.STARTING)
