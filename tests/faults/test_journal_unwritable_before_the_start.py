"""The disk is full while a training is prepared: the journal can't be written for a while, and the run does not fail of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runctl_agent.contract.manifest import encode_manifest
from runctl_agent.errors import JournalError
from tests.fakes.manifests import KEYS, manifest_of, put_data
from tests.fakes.memory_store import MemoryStore
from tests.faults.test_kill_before_the_first_step import Fuse, Machine, agent
from tests.faults.test_kill_before_the_first_step import machine as machine


class FullDisk(Fuse):
    """The journal's calls number `first` to `first + 2` fail."""

    def __init__(self, first: int) -> None:
        super().__init__(-1, after=False)
        self._calls = 0
        self._first = first

    def through(self, call: Callable[[], Any]) -> Any:
        self._calls += 1
        if self._first <= self._calls < self._first + 3:
            raise JournalError("the journal can't be written", "database or disk is full", "make room")
        return call()


@pytest.mark.parametrize("first", [4, 5, 6])
def test_it_is_started_once_there_is_room(tmp_path: Path, machine: Machine, first: int) -> None:
    """The first three calls are made as the agent comes up, which is refused as a whole."""
    store, manifest = MemoryStore(), manifest_of("m.pt", 7, {"m.pt": b"w"}, kind="file")
    put_data(store, manifest)
    store.put(KEYS.manifest(1, 1, "m.pt"), encode_manifest(manifest))
    starter = agent(tmp_path, machine, store, Fuse(-1, after=False), FullDisk(first))
    assert starter is not None
    assert (starter.failure, starter.launched, starter.trouble) == ((), True, None)
    (train,) = machine.trainings
    assert train.env["RUNCTL_RESUME_FROM"].endswith("/checkpoints/m.pt")
