"""The journal can't be written for a moment, just as another training process begins: on a disk without a byte left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runctl_agent.attend import Attendant
from runctl_agent.contract.spec import Spec, Watched
from runctl_agent.errors import JournalError
from runctl_agent.lineage import Lineage
from runctl_agent.records import ProcessId
from runctl_agent.store.commit import Committer
from runctl_agent.store.journal import HeldEpoch, Journal
from runctl_agent.training.evidence import Outcome
from tests.fakes.clock import FakeRuntime
from tests.fakes.manifests import KEYS, RUN, OwnNonces
from tests.fakes.memory_store import MemoryStore
from tests.fakes.processes import BOOT, FakeProcesses


class Full(Journal):
    """Takes nothing while `full` names the method, or says "all"."""

    full = ""

    def put(self, key: str, value: str) -> None:
        self._take("put")
        super().put(key, value)

    def take_epoch(self, held: HeldEpoch, backlog: object) -> None:
        self._take("take_epoch")
        super().take_epoch(held, backlog)  # type: ignore[arg-type]

    def _take(self, what: str) -> None:
        if self.full in {what, "all"}:
            raise JournalError("the journal can't be used", "database or disk is full")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Full]:
    journal = Full(str(tmp_path / "journal.db"), owner="me", alive=lambda owner: owner == "me")
    yield journal
    journal.close()


def test_the_epoch_taken_for_it_is_the_one_written_under(journal: Full) -> None:
    """`latest` is sealed at it: an agent that went on under the one before would have fenced itself off for good."""
    store, process = MemoryStore(), ProcessId(1, 1, BOOT)
    committer = Committer(store, KEYS, OwnNonces(), RUN, "i-one")
    trainer = [process]
    lineage = Lineage(OwnNonces(), journal, committer, "i-one", BOOT, backlog=list, trainer=lambda: trainer[0])
    assert lineage.ensure() == 1
    trainer[0] = ProcessId(2, 2, BOOT)
    journal.full = "take_epoch"
    with pytest.raises(JournalError):
        lineage.ensure()
    journal.full = ""
    epoch = lineage.ensure()
    assert epoch > 1
    assert committer.fenced_by(epoch) == ""
    assert lineage.ensure() == epoch, "and no other is taken"


def test_it_is_not_said_to_have_ended_as_the_one_before_did(journal: Full, tmp_path: Path) -> None:
    clock, processes = FakeRuntime(), FakeProcesses()
    spec = Spec(RUN, "s3://bucket/runs", (Watched(str(tmp_path)),), workdir=str(tmp_path))
    attendant = Attendant(clock, spec, str(tmp_path), BOOT, processes, journal)
    attendant.turn()

    def begins(pid: int) -> ProcessId:
        (tmp_path / "new.pid").write_text(f"{pid}\n")
        (tmp_path / "new.pid").rename(tmp_path / "training.pid")
        return processes.start(pid, uid=os.geteuid())

    first = begins(4000)
    assert attendant.turn().outcome is Outcome.RUNNING
    processes.end(first)
    attendant.turn()
    clock.advance(60.0)
    assert attendant.turn().ended
    begins(4001)
    journal.full = "all"
    with pytest.raises(JournalError):
        attendant.turn()
    assert attendant.verdict.outcome is Outcome.RUNNING
    assert not attendant.verdict.ended
