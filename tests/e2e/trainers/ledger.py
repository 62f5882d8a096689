"""What a trainer itself says it wrote: name, time and content of every checkpoint, and what still stood when it looked."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3


def content(path: Path) -> dict[str, str]:
    """Digest of every regular file of a checkpoint, by its path in it."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    top = path.parent if path.is_file() else path
    return {str(p.relative_to(top)): blake3(p.read_bytes()).hexdigest() for p in files}


class Ledger:
    """Appends one line a save; written by the training process, outside the watched directory."""

    def __init__(self, path: Path, directory: Path) -> None:
        self._path = path
        self._directory = directory

    def saved(self, name: str, *, gone: bool = False) -> None:
        """`name` is complete now. What stands beside it is written down with the time, to know how long each was kept."""
        files = {} if gone else content(self._directory / name)
        standing = sorted(os.listdir(self._directory))
        line = {"name": name, "at": time.time(), "files": files, "standing": standing}
        with self._path.open("a") as out:
            out.write(json.dumps(line) + "\n")


@dataclass
class Written:
    """One content of one name, and the last time the trainer saw it stand."""

    name: str
    files: dict[str, str]
    at: float
    last_seen: float = field(default=0.0)

    @property
    def kept(self) -> float:
        """Seconds for which it stood, at least."""
        return self.last_seen - self.at


def read_ledger(path: Path, *, ended: float, standing: set[str]) -> list[Written]:
    """Every content written, oldest first; what stands at the end (`ended`, seconds since the epoch) was kept until then."""
    written: list[Written] = []
    current: dict[str, Written] = {}
    for text in path.read_text().splitlines():
        line = json.loads(text)
        now = Written(line["name"], line["files"], line["at"], line["at"])
        current[now.name] = now
        written.append(now)
        for name in line["standing"]:
            if name in current:
                current[name].last_seen = line["at"]
    for name in standing:
        if name in current:
            current[name].last_seen = ended
    return written
