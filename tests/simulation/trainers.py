"""Trainers of the simulated world: they write real files in small steps, at virtual times, and rotate them."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3

from runctl_agent.records import Change, Hinted
from tests.simulation.seeded import EPOCH, Seeded

Content = dict[str, str]
"""Digest by path in the checkpoint."""


def torch_like(random_bytes: bytes) -> bytes:
    """A zip as `torch.save` writes it: stored, one member."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr(zipfile.ZipInfo("archive/data/0"), random_bytes)
    return body.getvalue()


def safetensors_like(random_bytes: bytes) -> bytes:
    header = json.dumps({"w": {"dtype": "U8", "shape": [len(random_bytes)], "data_offsets": [0, len(random_bytes)]}}).encode()
    return struct.pack("<Q", len(header)) + header + random_bytes


@dataclass
class Stood:
    """A checkpoint that was complete on disk: from when, and until when (None: still there)."""

    name: str
    content: Content
    since: float
    until: float | None = None
    machine: int = 0


@dataclass
class History:
    """All that was ever complete on a disk, in order."""

    stood: list[Stood] = field(default_factory=list)

    def complete(self, machine: int, name: str, content: Content, now: float) -> None:
        self.removed(machine, name, now)
        self.stood.append(Stood(name, content, now, machine=machine))

    def removed(self, machine: int, name: str, now: float) -> None:
        for one in self.stood:
            if (one.machine, one.name) == (machine, name) and one.until is None:
                one.until = now

    def knows(self, name: str, content: Content) -> bool:
        return any(one.name == name and one.content == content for one in self.stood)


class Disk:
    """What a trainer does to the watched directory; every act gives the agent a hint, unless `deaf`."""

    def __init__(self, root: Path, runtime: Seeded, hint: Callable[[Change], None], history: History, machine: int) -> None:
        self.root = root
        self.runtime = runtime
        self.hint = hint
        self._history = history
        self._machine = machine
        self._open: list[io.FileIO] = []
        self.said = b""

    def say(self, text: str) -> None:
        """A line in the training's log."""
        line = f"machine {self._machine}: {text}\n".encode()
        with (self.root.parent / "training.log").open("ab") as log:
            log.write(line)
        self.said += line
        self.runtime.step()

    def complete(self, name: str, content: Content) -> None:
        self._history.complete(self._machine, name, content, self.runtime.now())

    def gone(self, name: str) -> None:
        self._history.removed(self._machine, name, self.runtime.now())

    def lost(self) -> None:
        """The machine is gone with everything that was open."""
        for file in self._open:
            file.close()
        self._open.clear()

    def write(self, path: str, body: bytes) -> None:
        """In place, in a few pieces, others going on between them; closed at the end."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        out = io.FileIO(target, "w")
        self._open.append(out)
        piece = max(1, len(body) // 3)
        for start in range(0, len(body), piece):
            out.write(body[start : start + piece])
            self._stamp(target)
            self.runtime.sleep(0.02 * self.runtime.random())
        out.close()
        self._open.remove(out)
        self._stamp(target)
        self._tell(path, Hinted.CLOSED)

    def rename(self, source: str, target: str) -> None:
        os.replace(self.root / source, self.root / target)
        self._tell(target, Hinted.ARRIVED)

    def remove(self, name: str) -> None:
        """As rotation does: file by file, then the directory."""
        self.gone(name)
        target = self.root / name
        if target.is_dir():
            for file in sorted(p for p in target.rglob("*") if p.is_file()):
                file.unlink()
                self._tell(str(file.relative_to(self.root)), Hinted.CHANGED)
                self.runtime.step()
            shutil.rmtree(target)
        else:
            target.unlink()
        self._tell(name, Hinted.CHANGED)

    def _stamp(self, target: Path) -> None:
        now = int((EPOCH + self.runtime.scheduler.mono) * 1e9)
        os.utime(target, ns=(now, now))

    def _tell(self, path: str, what: Hinted) -> None:
        self.hint(Change(str(self.root), path, what))


def digest(body: bytes, part: int = 0) -> str:
    """As a manifest gives it; `part`: bytes in a part, where that is not all."""
    if not part or len(body) <= part:
        return "blake3:" + blake3(body).hexdigest()
    digests = (blake3(body[at : at + part]).digest() for at in range(0, len(body), part))
    return "blake3-parts:" + blake3(b"".join(digests)).hexdigest()


class FileTrainer:
    """Writes `model_step_N.pt` (in place or by rename) and keeps the last two; rewrites `last.pt`."""

    def __init__(self, disk: Disk, *, every: float, count: int, size: int) -> None:
        self.disk = disk
        self.every = every
        self.count = count
        self.size = size
        self.step = 0
        self.kept: list[str] = []

    def run(self) -> None:
        while self.step < self.count:
            self.disk.runtime.sleep(self.every * (0.5 + self.disk.runtime.random()))
            self.step += 1
            self.disk.say(f"step {self.step}")
            body = torch_like(self.disk.runtime.scheduler.rng.randbytes(self.size))
            name = f"model_step_{self.step}.pt"
            self._save(name, body)
            self.kept.append(name)
            if len(self.kept) > 2:
                self.disk.remove(self.kept.pop(0))
            self._rewrite("last.pt", torch_like(self.disk.runtime.scheduler.rng.randbytes(self.size)))

    def _save(self, name: str, body: bytes) -> None:
        if self.step % 2:
            self.disk.write(f"{name}.tmp", body)
            self.disk.rename(f"{name}.tmp", name)
        else:
            self.disk.write(name, body)
        self.disk.complete(name, {name: digest(body)})

    def _rewrite(self, name: str, body: bytes) -> None:
        self.disk.gone(name)
        self.disk.write(name, body)
        self.disk.complete(name, {name: digest(body)})


class HuggingFaceTrainer:
    """Writes `checkpoint-N/` part by part, `trainer_state.json` last, and keeps the last two."""

    def __init__(self, disk: Disk, *, every: float, count: int, size: int) -> None:
        self.disk = disk
        self.every = every
        self.count = count
        self.size = size
        self.step = 0
        self.kept: list[str] = []

    def run(self) -> None:
        while self.step < self.count:
            self.disk.runtime.sleep(self.every * (0.5 + self.disk.runtime.random()))
            self.step += 1
            self.disk.say(f"step {self.step}")
            name = f"checkpoint-{self.step}"
            random_bytes = self.disk.runtime.scheduler.rng.randbytes
            files = {
                "config.json": b'{"hidden": 8}',
                "model.safetensors": safetensors_like(random_bytes(self.size)),
                "optimizer.pt": torch_like(random_bytes(self.size)),
                "rng_state.pth": torch_like(random_bytes(64)),
                "trainer_state.json": json.dumps({"global_step": self.step}).encode(),
            }
            for path, body in files.items():
                self.disk.write(f"{name}/{path}", body)
            self.disk.complete(name, {path: digest(body) for path, body in files.items()})
            self.kept.append(name)
            if len(self.kept) > 2:
                self.disk.remove(self.kept.pop(0))
