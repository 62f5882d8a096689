"""An agent whose run another has taken, and that has nothing to commit by which it would learn of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from runctl_agent.sender import Sender
from runctl_agent.store.commit import Committer
from runctl_agent.store.journal import Journal
from tests.fakes.manifests import KEYS, RUN, OwnNonces
from tests.fakes.memory_store import MemoryStore
from tests.unit.test_finish import GROUPED, Scene


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(str(tmp_path / "journal.db"), owner="me", alive=lambda owner: owner == "me")
    yield journal
    journal.close()


def sender(committer: Committer, epoch: int) -> Sender:
    nobody = cast(Any, None)
    made = Sender(OwnNonces(), RUN, "i-old", nobody, nobody, nobody, nobody, committer, nobody, nobody, lambda row: None)
    made.epoch = epoch
    return made


def test_it_says_so_and_ends_nothing(journal: Journal) -> None:
    store = MemoryStore()
    old, new = (Committer(store, KEYS, OwnNonces(), RUN, name) for name in ("i-old", "i-new"))
    mine = old.take_epoch("boot-1")
    old.seal(mine.epoch)
    zombie = sender(old, mine.epoch)
    assert (zombie.holds(), zombie.fenced) == (True, "")
    new.seal(new.take_epoch("boot-2").epoch)
    assert not zombie.holds(), "it writes no status.json"
    assert "epoch 2" in zombie.fenced
    scene = Scene(journal, replace(GROUPED, on_finish="terminate"))
    scene.told, scene.fenced = True, bool(zombie.fenced)
    assert scene.turn() == [], "the heir's group and machine are left alone"
