"""An uploader over real files, a real journal and the store in memory, with parts of a kibibyte."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Mapping

from runctl_agent.contract.keys import Keys
from runctl_agent.contract.manifest import ManifestFile
from runctl_agent.runtime import Runtime
from runctl_agent.store.journal import HeldEpoch, Journal, Row
from runctl_agent.store.upload import Uploader
from tests.fakes.clock import FakeRuntime
from tests.fakes.memory_store import MemoryStore
from tests.fakes.staged_files import FolderSource, write_files

KEYS = Keys("team", "run")
PART = 1024
BIG = "big.pt"
SMALL = "small.json"
CONTENTS = {BIG: random.Random(1).randbytes(3 * PART + 100), SMALL: b'{"step": 5}', "sub/.metadata": b""}
PREFIX = "team/run/data/000007-00000001/checkpoint-5"
BIG_KEY = f"{PREFIX}/{BIG}"
SMALL_KEY = f"{PREFIX}/{SMALL}"


class Killed(BaseException):
    """The end of a life: nothing of the agent catches it."""


class Bench:
    """One machine: its disk, its journal, and the lives of the agent on it, one after the other."""

    def __init__(self, directory: str, contents: Mapping[str, bytes] = CONTENTS, *, store: MemoryStore | None = None) -> None:
        os.makedirs(directory, exist_ok=True)
        self.folder = os.path.join(directory, "staged")
        self.store = store if store is not None else MemoryStore()
        self._path = os.path.join(directory, "journal.db")
        self._lives = itertools.count(1)
        self._journals: list[Journal] = []
        self.live()
        self.journal.take_epoch(HeldEpoch(7, "a" * 32, 0, 50.0), [])
        self.add(contents)

    def live(self, runtime: Runtime | None = None) -> None:
        """Begin a new life; earlier ones count as dead, their claims are void."""
        owner = f"life-{next(self._lives)}"
        self.journal = Journal(self._path, owner=owner, alive=lambda other: False)
        self._journals.append(self.journal)
        self.clock = FakeRuntime()
        self.runtime = runtime if runtime is not None else self.clock
        self.uploader = Uploader(self.store, self.journal, KEYS, self.runtime, part_size=lambda size: PART)

    def add(self, contents: Mapping[str, bytes]) -> None:
        staged = write_files(self.folder, contents)
        row = self.journal.add(staged, 100.0)
        assert row is not None
        self.row: Row = row
        self.source = FolderSource(staged)

    def send(self) -> dict[str, ManifestFile]:
        return {file.path: file for file in self.uploader.send(self.row, self.source)}

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def close(self) -> None:
        for journal in self._journals:
            journal.close()
