"""A line a heartbeat, in a file of bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runctl_agent import history
from runctl_agent.contract.history import Moment, moments
from runctl_agent.contract.phases import Phase
from runctl_agent.errors import JournalError
from runctl_agent.history import LONGEST_LINE, History
from runctl_agent.store.journal import Journal
from tests.fakes.agent_state import state
from tests.fakes.clock import FakeRuntime


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(str(tmp_path / "journal.db"), owner="me", alive=lambda owner: owner == "me")
    yield journal
    journal.close()


class Kept:
    def __init__(self, folder: Path, journal: Journal) -> None:
        self.clock = FakeRuntime()
        self.path = folder / "history.jsonl"
        self.ours = History(self.clock, journal, str(self.path), 60.0)

    def lines(self) -> list[Moment]:
        return moments(self.path.read_bytes())


@pytest.fixture
def kept(tmp_path: Path, journal: Journal) -> Kept:
    return Kept(tmp_path, journal)


def test_one_line_a_heartbeat(kept: Kept) -> None:
    for second in range(600):
        kept.ours.tell(replace(state(), train_step=second, loss=0.5))
        kept.clock.advance(1.0)
    assert [one.step for one in kept.lines()] == list(range(0, 600, 60))
    assert kept.lines()[1].at - kept.lines()[0].at == 60


def test_a_phase_an_attempt_and_a_notice_have_a_line_at_once(kept: Kept) -> None:
    for one in (
        state(phase=Phase.TRAINING),
        replace(state(phase=Phase.TRAINING), notice="spot terminate"),
        state(phase=Phase.SAVING),
        state(phase=Phase.INTERRUPTED),
        replace(state(phase=Phase.INTERRUPTED), attempt=2),
    ):
        for _ in range(3):
            kept.ours.tell(one)
    assert [(one.phase, one.notice, one.attempt) for one in kept.lines()] == [
        (Phase.TRAINING, "", 0),
        (Phase.TRAINING, "spot terminate", 0),
        (Phase.SAVING, "", 0),
        (Phase.INTERRUPTED, "", 0),
        (Phase.INTERRUPTED, "", 2),
    ]


def test_its_size_is_bounded(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "LARGEST", 5000)
    for _ in range(1000):
        kept.ours.tell(state())
        kept.clock.advance(60.0)
    assert sorted(path.name for path in kept.path.parent.glob("history*")) == ["history.jsonl", "history.jsonl.1"]
    assert all(path.stat().st_size < 5000 + LONGEST_LINE for path in kept.path.parent.glob("history*"))


def test_half_a_line_of_an_agent_that_was_killed_spoils_no_other(kept: Kept) -> None:
    kept.path.write_bytes(b'{"at":1,"phase":"trai')
    kept.ours.tell(state())
    assert len(kept.lines()) == 1
    assert kept.path.read_bytes().startswith(b'{"at":1,"phase":"trai\n{')


def test_what_can_not_be_kept_is_a_problem_and_no_more(kept: Kept, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.path.mkdir()
    kept.ours.tell(state())
    assert "can't be written" in kept.ours.problem
    kept.path.rmdir()

    def broken() -> None:
        raise JournalError("the journal can't be read", "disk I/O error")

    kept.clock.advance(60.0)
    with monkeypatch.context() as patched:
        patched.setattr(journal, "totals", broken)
        kept.ours.tell(state())
    assert "the journal can't be read" in kept.ours.problem
    kept.clock.advance(60.0)
    kept.ours.tell(state())
    assert (kept.ours.problem, len(kept.lines())) == ("", 1)
