"""What the sink remembers of objects, in small files that its processes share."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

BUCKET = "bench"


@dataclass(frozen=True)
class Known:
    """One object. `crc` is None where the writer named none; `path`: the file that is its body, empty where none is kept."""

    key: str
    size: int
    etag: str
    crc: int | None
    path: str = ""


class State:
    def __init__(self, folder: Path) -> None:
        self._objects = folder / "objects"
        self._bodies = folder / "bodies"
        self._uploads = folder / "uploads"
        self._lock = folder / "lock"

    def make(self) -> None:
        for folder in (self._objects, self._bodies, self._uploads):
            folder.mkdir(parents=True, exist_ok=True)
        self._lock.touch()

    def clear(self) -> None:
        for folder in (self._objects, self._bodies, self._uploads):
            shutil.rmtree(folder)
        self.make()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """For a conditional write."""
        with self._lock.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    # --- objects ---

    def get(self, key: str) -> Known | None:
        try:
            return Known(**json.loads((self._objects / _name(key)).read_bytes()))
        except FileNotFoundError:
            return None

    def put(self, known: Known) -> None:
        _replace(self._objects / _name(known.key), json.dumps(asdict(known)).encode())

    def keep(self, body: bytes) -> str:
        """Keep a small body; returns where."""
        path = self._bodies / uuid.uuid4().hex
        path.write_bytes(body)
        return str(path)

    def delete(self, key: str) -> None:
        (self._objects / _name(key)).unlink(missing_ok=True)

    def below(self, prefix: str) -> list[Known]:
        found = [Known(**json.loads(file.read_bytes())) for file in self._objects.iterdir() if not file.suffix]
        return sorted((known for known in found if known.key.startswith(prefix)), key=lambda known: known.key.encode())

    # --- multipart uploads ---

    def begin(self) -> str:
        upload = uuid.uuid4().hex
        (self._uploads / upload).mkdir()
        return upload

    def is_open(self, upload: str) -> bool:
        return upload.isalnum() and (self._uploads / upload).is_dir()

    def part(self, upload: str, number: int, size: int, etag: str) -> None:
        (self._uploads / upload / str(number)).write_text(f"{size} {etag}")

    def parts(self, upload: str) -> list[tuple[int, int, str]]:
        """(number, size, etag) in order."""
        found = []
        for file in (self._uploads / upload).iterdir():
            size, etag = file.read_text().split(" ", 1)
            found.append((int(file.name), int(size), etag))
        return sorted(found)

    def end(self, upload: str) -> None:
        shutil.rmtree(self._uploads / upload)


def _name(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _replace(path: Path, body: bytes) -> None:
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_bytes(body)
    partial.rename(path)
