"""What the agent says of a training that it conducts itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runctl_agent.contract.phases import Phase
from runctl_agent.contract.status import State
from runctl_agent.report import Conduct, Facts, Report
from runctl_agent.store.journal import Journal
from runctl_agent.training.evidence import Outcome, Verdict
from runctl_agent.training.opening import Decision, Opening
from tests.fakes.clock import FakeRuntime

WAITING = Verdict(Outcome.WAITING, None, "no training has been seen yet")
RUNNING = Verdict(Outcome.RUNNING, None, "the training process is alive")
KILLED = Verdict(Outcome.FAILED, 143, "the training ended with SIGTERM")
FACTS = Facts(WAITING, None, True, 1, "", "", "", "", "", (), Conduct())


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(str(tmp_path / "journal.db"), owner="me", alive=lambda owner: owner == "me")
    yield journal
    journal.close()


def report(journal: Journal, boot_id: str = "boot-1") -> Report:
    made = Report(FakeRuntime(), "gpt2", journal, boot_id, 1_700_000_000, commanded=True)
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


def test_an_attempt_is_counted_on(journal: Journal) -> None:
    assert tell(report(journal), decision=Decision(Opening.BEGIN, 5)).attempt == 5


@pytest.mark.parametrize("phase", [Phase.FINISHED, Phase.FAILED, Phase.STOPPED])
def test_the_end_of_an_earlier_boot_stands(journal: Journal, phase: Phase) -> None:
    decision = Decision(Opening.LEAVE, 3, "nobody asked for another", phase, 7)
    told = tell(report(journal), decision=decision)
    assert (told.phase, told.attempt, told.exit_code) == (phase, 3, 7)
    assert any("nobody asked" in detail for detail in told.details)


def test_a_preparation_that_fails_is_the_end_with_its_last_lines(journal: Journal) -> None:
    made = report(journal)
    tell(made, stage=Phase.SETUP)
    told = tell(made, stage=Phase.SETUP, failure=("setup ended with exit code 1", "no such package"))
    assert (told.phase, told.error) == (Phase.FAILED, "setup ended with exit code 1")
    assert told.details[:2] == ("setup ended with exit code 1", "no such package")


def test_a_stop_is_saving_until_nothing_runs_and_all_is_durable(journal: Journal) -> None:
    made = report(journal)
    tell(made, RUNNING, stage=Phase.RESTORING)
    assert tell(made, RUNNING, saving=True, want="n1").phase is Phase.SAVING
    assert tell(made, KILLED, saving=True, over=False).phase is Phase.SAVING
    assert tell(made, KILLED, saving=True, over=True, quiet=False).phase is Phase.SAVING
    told = tell(made, KILLED, saving=True, over=True, want="n1")
    assert (told.phase, told.exit_code, told.want) == (Phase.STOPPED, 143, "n1")
    assert tell(made, KILLED).phase is Phase.STOPPED


def test_a_failure_while_it_is_being_stopped_is_no_failure(journal: Journal) -> None:
    made = report(journal)
    tell(made, stage=Phase.SETUP, saving=True)
    assert tell(made, failure=("it was cancelled",), saving=True, over=True).phase is Phase.STOPPED


def test_what_has_ended_by_itself_is_not_stopped(journal: Journal) -> None:
    made, done = report(journal), Verdict(Outcome.FINISHED, 0, "the training ended with exit code 0")
    tell(made, RUNNING, stage=Phase.RESTORING)
    assert tell(made, done, quiet=False).phase is Phase.FINISHING
    assert tell(made, done, quiet=False, saving=True, over=True).phase is Phase.FINISHING
    assert tell(made, done, saving=True, over=True).phase is Phase.FINISHED


def test_what_still_settles_after_the_end_is_pending(journal: Journal) -> None:
    made = report(journal)
    tell(made, RUNNING, stage=Phase.RESTORING)
    told = [tell(made, KILLED, quiet=False), tell(made, KILLED)]
    assert [(state.phase, state.pending_checkpoints) for state in told] == [(Phase.FAILED, 1), (Phase.FAILED, 0)]


def test_an_agent_that_comes_back_goes_on_saving(journal: Journal) -> None:
    tell(report(journal), RUNNING, saving=True)
    assert tell(report(journal), RUNNING, saving=True).phase is Phase.SAVING


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
