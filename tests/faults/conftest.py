from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runctl_agent.store.journal import Journal
from runctl_simulator.imds import ImdsServer
from tests.fakes.lookout import Lookout


@pytest.fixture
def imds() -> Iterator[ImdsServer]:
    """A metadata service of a spot instance, with nothing announced."""
    with ImdsServer(life_cycle="spot") as server:
        yield server


@pytest.fixture
def notices_journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(str(tmp_path / "journal.db"), owner="me", alive=lambda owner: owner == "me")
    yield journal
    journal.close()


@pytest.fixture
def lookout(notices_journal: Journal, imds: ImdsServer) -> Lookout:
    return Lookout(notices_journal, imds)
