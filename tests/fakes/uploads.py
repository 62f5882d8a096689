"""An uploader over real files, a real journal and the store in memory, with parts of a kibibyte."""

from __future__ import annotations

import io
import itertools
import os
import random
import zlib
from collections.abc import Mapping

from runctl_agent.contract.files import IDENTITY
from runctl_agent.contract.keys import Keys
from runctl_agent.contract.manifest import Manifest, ManifestFile, Rank, encode_manifest
from runctl_agent.records import Kind
from runctl_agent.runtime import Runtime
from runctl_agent.store.codec import decoded
from runctl_agent.store.dedup import Dedup
from runctl_agent.store.journal import HeldEpoch, Journal, Row
from runctl_agent.store.pins import Pins
from runctl_agent.store.upload import Uploader
from tests.fakes.clock import FakeRuntime
from tests.fakes.memory_store import MemoryStore
from tests.fakes.staged_files import FolderSource, write_files

KEYS = Keys("team", "run")
PART = 1024
LEAST = PART * 5 // 8
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

    def __init__(
        self,
        directory: str,
        contents: Mapping[str, bytes] = CONTENTS,
        *,
        store: MemoryStore | None = None,
        compression: str = "none",
        dedup: bool = False,
    ) -> None:
        self.compression = compression
        self._dedup = dedup
        os.makedirs(directory, exist_ok=True)
        self._directory = os.path.join(directory, "staged")
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
        self.uploader = Uploader(
            self.store,
            self.journal,
            KEYS,
            self.runtime,
            part_size=lambda size: PART,
            least=LEAST,
            compression=self.compression,
            dedup=Dedup(self.store, KEYS, self.journal) if self._dedup else None,
            pins=Pins(self.store, KEYS, self.runtime),
        )

    def add(self, contents: Mapping[str, bytes], name: str = "checkpoint-5") -> None:
        self.folder = os.path.join(self._directory, name)
        staged = write_files(self.folder, contents, name, kind=Kind.FILE if name in contents else Kind.DIRECTORY)
        row = self.journal.add(staged, 100.0)
        assert row is not None
        self.row: Row = row
        self.source = FolderSource(staged)

    def send(self) -> dict[str, ManifestFile]:
        return {file.path: file for file in self.uploader.send(self.row, self.source)}

    def commit(self, name: str, contents: Mapping[str, bytes]) -> dict[str, ManifestFile]:
        """The next checkpoint, from the disk to its manifest."""
        self.add(contents, name)
        return self.finish()

    def finish(self) -> dict[str, ManifestFile]:
        """Send and commit what was added."""
        files = self.send()
        name, seq = self.row.staged.finished.name, self.row.seq or 0
        of = Rank(True, 7, 5, seq)
        manifest = Manifest(
            KEYS.run, 7, seq, name, 5, of, self.row.staged.finished.kind.value, True, 1.0, "i-1", tuple(files.values())
        )
        key = KEYS.manifest(7, seq, name)
        self.store.put(key, encode_manifest(manifest))
        self.journal.committed(self.row.id, KEYS.relative(key), 1.0, manifest)
        return files

    def content(self, file: ManifestFile) -> bytes:
        """As a reader gets it: every part by its place in the object."""
        body = self.store.objects[KEYS.absolute(file.object)].body
        assert (len(body), zlib.crc32(body)) == (file.stored, file.crc)
        if file.encoding == IDENTITY:
            return body
        found, at = b"", 0
        for part in file.parts:
            stored = body[at : at + (part.stored or 0)]
            assert zlib.crc32(stored) == part.crc
            found += b"".join(decoded(io.BytesIO(stored), part.size, PART))
            at += len(stored)
        return found

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def close(self) -> None:
        for journal in self._journals:
            journal.close()
