"""What the start of a training keeps over a restart of the agent, and how it ends where nobody says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from runctl_agent.contract.phases import Phase
from runctl_agent.contract.spec import Training
from runctl_agent.life.finish import Step, step
from runctl_agent.life.quarantine import Quarantine
from runctl_agent.life.starter import Starter
from runctl_agent.store.journal import Journal
from runctl_agent.training.job import Done
from runctl_agent.training.opening import Decision, Opening
from tests.fakes.clock import FakeRuntime
from tests.fakes.manifests import KEYS, RUN
from tests.fakes.memory_store import MemoryStore
from tests.unit.test_finish import GROUPED

FREE = Quarantine(lambda: None, lambda: None, lambda: False)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(str(tmp_path / "journal.db"), owner="me", alive=lambda owner: owner == "me")
    yield journal
    journal.close()


def starter(journal: Journal, folder: Path, quarantine: Quarantine = FREE) -> Starter:
    spec = replace(GROUPED, training=Training(command=("true",)), workdir=str(folder), run=RUN)
    return Starter(FakeRuntime(), spec, KEYS, str(folder), str(folder), journal, cast(Any, None), "boot", quarantine)


def begin(made: Starter, decision: Decision) -> None:
    made.run(decision, MemoryStore(), lambda bucket: MemoryStore(), "/locks", lambda: True)


def test_a_crash_loop_stays_one_over_a_restart(journal: Journal, tmp_path: Path) -> None:
    journal.put("attempts_without_progress", "3")
    first = starter(journal, tmp_path)
    begin(first, Decision(Opening.BEGIN, 4))
    assert (first.looped, bool(first.failure)) == (True, True)
    second = starter(journal, tmp_path)
    begin(second, Decision(Opening.LEAVE, 4))
    assert step(GROUPED, Phase.FAILED, stood=False, grouped=True, looped=second.looped) == Step(leave=True)


def test_where_nothing_is_started_nothing_stays_held(journal: Journal, tmp_path: Path) -> None:
    """The agent was killed in the preparation, and the one after it is to end the run."""
    done: list[str] = []
    quarantine = Quarantine(lambda: done.append("held"), lambda: done.append("adopted"), lambda: done[-1:] == ["held"])
    journal.put("preparing", "boot")
    made = starter(journal, tmp_path, quarantine)
    assert done == ["held"]
    begin(made, Decision(Opening.LEAVE, 1, "it is being stopped"))
    assert done == ["held", "adopted"]


def test_a_worker_that_ends_without_a_word_is_a_failure(journal: Journal, tmp_path: Path) -> None:
    made = starter(journal, tmp_path)
    made.launched = True
    made._reap(cast(Any, SimpleNamespace()), cast(Any, SimpleNamespace(outcome=Done)))
    assert "could not be written down" in made.failure[0]
    assert not made.expected, "nobody waits for a word that never comes"
