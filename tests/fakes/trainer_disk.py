"""A trainer's directory in virtual time, seen by the real reader and judged by the real settler."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runctl_agent.contract.spec import Watched
from runctl_agent.disk.read import Reader
from runctl_agent.disk.settle import Settler
from runctl_agent.records import Change, Finished, Hinted, Moment
from tests.fakes.clock import FakeRuntime

SETTLE = 2.0


def body(path: str, size: int = 1000) -> bytes:
    """Something whole in the format that the name asks for."""
    return b'{"global_step": 5}' if path.endswith(".json") else pickle.dumps(bytes(size))


class TrainerDisk:
    """Every write gets the virtual time as its mtime; `look` reads what is there, as after an event."""

    def __init__(self, root: Path, *, leases: bool = True) -> None:
        self.root = root
        self.clock = FakeRuntime()
        self.reader = Reader(Watched(str(root)), leases=leases)
        self.settler = Settler(SETTLE)

    def write(self, path: str, content: bytes | None = None) -> None:
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(body(path) if content is None else content)
        self.stamp(path)

    def stamp(self, path: str) -> None:
        ns = round(self.clock.now() * 1e9)
        os.utime(self.root / path, ns=(ns, ns))

    @contextmanager
    def writing(self, path: str, content: bytes) -> Iterator[None]:
        """The file is open for writing, with this content so far."""
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        with full.open("wb") as file:
            file.write(content)
            file.flush()
            self.stamp(path)
            yield

    def closed(self, path: str) -> None:
        self.settler.hint(Change(str(self.root), path, Hinted.CLOSED), self.moment())

    def arrived(self, path: str) -> None:
        self.settler.hint(Change(str(self.root), path, Hinted.ARRIVED), self.moment())

    def moment(self) -> Moment:
        return Moment(self.clock.now(), self.clock.monotonic())

    def look(self, *, after: float = 0.1, ended: bool = False) -> list[Finished]:
        """Let time pass, read everything, and say what has finished."""
        self.clock.advance(after)
        seen = set()
        for name in self.reader.names():
            reading = self.reader.read(name)
            if reading is not None:
                self.settler.observe(reading, self.moment())
                seen.add(name)
        for _, name, _ in self.settler.unfinished():
            if name not in seen:
                self.settler.gone(str(self.root), name)
        return self.settler.finished(self.moment(), ended=ended)

    def wait(self, seconds: float = 60.0, *, ended: bool = False) -> list[Finished]:
        """Look every half second for so long."""
        found: list[Finished] = []
        for _ in range(int(seconds * 2)):
            found += self.look(after=0.5, ended=ended)
        return found

    def why(self, name: str) -> str:
        return self.settler.reasons()[str(self.root), name]
