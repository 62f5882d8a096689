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
from runctl_agent.store import plan
from tests.simulation.schedule import Act, Training
from tests.simulation.seeded import Seeded

Content = dict[str, str]
"""Digest by path in the checkpoint."""

HEAD, TAIL = 44, 82
"""Bytes of such a zip before and after the member's own."""

KEPT = 2
"""Checkpoints that a trainer leaves on its disk."""


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
    """A checkpoint that was complete on disk: from when, and until when (None: still there), in seconds of the scheduler."""

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

    def times(self, name: str, content: Content) -> int:
        """How often it was written."""
        return sum(one.name == name and one.content == content for one in self.stood)


class Disk:
    """What a trainer does to the watched directory; every act gives the agent a hint. `files`: what is there by its doing."""

    def __init__(self, root: Path, runtime: Seeded, hint: Callable[[Change], None], history: History, machine: int) -> None:
        self.root = root
        self.runtime = runtime
        self.hint = hint
        self.files: set[str] = set()
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
        self._history.complete(self._machine, name, content, self.runtime.monotonic())

    def gone(self, name: str) -> None:
        self._history.removed(self._machine, name, self.runtime.monotonic())

    def lost(self) -> None:
        """The process is gone with everything that was open."""
        for file in self._open:
            file.close()
        self._open.clear()

    def write(self, path: str, body: bytes, *, torn: bool = False) -> None:
        """In place, in a few pieces, others going on between them; closed at the end. `torn`: it never gets there."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        self.files.add(path)
        out = io.FileIO(target, "w")
        self._open.append(out)
        piece = max(1, -(-len(body) // 3))
        for start in range(0, len(body) - (piece if torn else 0), piece):
            self.runtime.sleep(0.02 * self.runtime.random())
            out.write(body[start : start + piece])
            self._stamp(target)
        out.close()
        self._open.remove(out)
        self._stamp(target)
        self._tell(path, Hinted.CLOSED)

    def rename(self, source: str, target: str) -> None:
        os.replace(self.root / source, self.root / target)
        self.files.remove(source)
        self.files.add(target)
        self._tell(target, Hinted.ARRIVED)

    def remove(self, name: str) -> None:
        """As rotation does: file by file, then the directory."""
        self.gone(name)
        target = self.root / name
        if target.is_dir():
            for file in sorted(p for p in target.rglob("*") if p.is_file()):
                file.unlink()
                self.files.remove(str(file.relative_to(self.root)))
                self._tell(str(file.relative_to(self.root)), Hinted.CHANGED)
                self.runtime.step()
            shutil.rmtree(target)
        else:
            target.unlink()
            self.files.remove(name)
        self._tell(name, Hinted.CHANGED)

    def mark(self, name: str, text: str) -> None:
        """A marker file beside the checkpoints, by rename: another file each time."""
        target = self.root.parent / name
        target.with_suffix(".tmp").write_text(text)
        self._stamp(target.with_suffix(".tmp"))
        os.replace(target.with_suffix(".tmp"), target)

    def _stamp(self, target: Path) -> None:
        now = int(self.runtime.now() * 1e9)
        os.utime(target, ns=(now, now))

    def _tell(self, path: str, what: Hinted) -> None:
        self.hint(Change(str(self.root), path, what))


def digest(body: bytes, part: int = 0) -> str:
    """As a manifest gives it; `part`: bytes in a part, where that is not as the plan has it."""
    part = part or plan.part_size(len(body))
    if len(body) <= part:
        return "blake3:" + blake3(body).hexdigest()
    digests = (blake3(body[at : at + part]).digest() for at in range(0, len(body), part))
    return "blake3-parts:" + blake3(b"".join(digests)).hexdigest()


class ScriptedTrainer:
    """Does what a training says. Goes on counting where the training before it on the same disk stopped."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.step = 0
        self._kept: list[str] = []
        self._newest = b""

    def run(self, training: Training) -> None:
        """Ends early, in the middle of a file, where the training does."""
        for number, act in enumerate(training.acts, 1):
            self.disk.runtime.sleep(act.gap)
            self.step += 1
            self.disk.say(f"step {self.step}")
            if training.end == "torn" and number == len(training.acts):
                self.disk.write(f"model_step_{self.step}.pt", self._random(act.size), torn=True)
                return
            self._do(act)

    def _do(self, act: Act) -> None:
        name = f"model_step_{self.step}.pt"
        match act.what:
            case "folder":
                self._folder(act.size)
            case "renamed":
                body = self._random(act.size)
                self.disk.write(f"{name}.tmp", body)
                self.disk.rename(f"{name}.tmp", name)
                self._saved(name, body)
            case "rewrite":
                self._rewrite("last.pt", self._random(act.size))
            case "twice":
                self._rewrite("last.pt", self._random(act.size))
                self.disk.runtime.sleep(0.06 * self.disk.runtime.random())
                self._rewrite("last.pt", self._random(act.size))
            case "copy" if self._newest:
                self._rewrite("best.pt", self._newest)
            case "grown" if self._newest:
                self._write(name, torch_like(self.disk.runtime.scheduler.chance.randbytes(8) + self._newest[HEAD + 8 : -TAIL]))
            case _:
                self._write(name, self._random(act.size))

    def _write(self, name: str, body: bytes) -> None:
        self.disk.write(name, body)
        self._saved(name, body)

    def _saved(self, name: str, body: bytes) -> None:
        self.disk.complete(name, {name: digest(body)})
        self._newest = body
        self._rotate(name)

    def _rewrite(self, name: str, body: bytes) -> None:
        self.disk.gone(name)
        self.disk.write(name, body)
        self.disk.complete(name, {name: digest(body)})

    def _folder(self, size: int) -> None:
        name = f"checkpoint-{self.step}"
        files = {
            "config.json": b'{"hidden": 8}',
            "model.safetensors": safetensors_like(self.disk.runtime.scheduler.chance.randbytes(size)),
            "optimizer.pt": self._random(size),
            "trainer_state.json": json.dumps({"global_step": self.step}).encode(),
        }
        for path, body in files.items():
            self.disk.write(f"{name}/{path}", body)
        self.disk.complete(name, {path: digest(body) for path, body in files.items()})
        self._rotate(name)

    def _rotate(self, name: str) -> None:
        self._kept.append(name)
        if len(self._kept) > KEPT:
            self.disk.remove(self._kept.pop(0))

    def _random(self, size: int) -> bytes:
        return torch_like(self.disk.runtime.scheduler.chance.randbytes(size))
