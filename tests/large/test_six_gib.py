"""Files above what a single PUT may have (5 GiB), by doing: one sparse, one random, through the agent to S3 and back.

Needs 30 GB of room in the temporary folder. The figures are told, not tested.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from tests.e2e.agent import Agent
from tests.e2e.committed import committed
from tests.e2e.seaweed import S3

MIB = 1024**2
SIZE = 6 * 1024 * MIB + 12_345
PART = 8 * MIB
PIECE = 64 * MIB


def sparse(path: Path) -> None:
    """Something at the beginning, in the middle across two parts, and at the end."""
    with path.open("wb") as file:
        for offset in (0, SIZE // 2 // PART * PART - 1000, SIZE - 2000):
            file.seek(offset)
            file.write(os.urandom(2000))
    assert os.stat(path).st_blocks * 512 < MIB


def random(path: Path) -> None:
    with path.open("wb") as file:
        for offset in range(0, SIZE, PIECE):
            file.write(os.urandom(min(PIECE, SIZE - offset)))


def hashed(path: Path) -> str:
    return blake3(max_threads=2).update_mmap(path).hexdigest()


@pytest.fixture
def room() -> Iterator[Path]:
    """pytest keeps its own folders for a while; this one is gone at once."""
    folder = Path(tempfile.mkdtemp(prefix="runctl-large-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("write", [sparse, random])
def test_there_and_back(room: Path, s3: S3, write: Callable[[Path], None]) -> None:
    watched = room / "checkpoints"
    watched.mkdir()
    path = watched / "weights_step_1.bin"
    write(path)
    written = hashed(path)
    agent = Agent(room, s3, checkpoints=watched, settle="300ms")
    began = time.monotonic()
    with agent.running() as process:
        agent.wait_for(lambda status: status["commits"] == 1, process, seconds=900)
        seconds, peak = time.monotonic() - began, _peak_rss(process.pid)
    path.unlink()

    (manifest,) = committed(s3)
    (file,) = manifest.files
    assert (file.size, len(file.parts)) == (SIZE, -(-SIZE // PART))
    assert s3.client().list_multipart_uploads(Bucket=s3.bucket, Prefix=s3.prefix).get("Uploads", []) == []
    began = time.monotonic()
    agent.command("restore", "--to", str(room / "to"), seconds=900)
    assert hashed(room / "to" / path.name) == written
    told = f"{SIZE / seconds / MIB:.0f} MiB/s to S3, {SIZE / (time.monotonic() - began) / MIB:.0f} MiB/s back"
    print(f"{write.__name__}: {SIZE} bytes, {len(file.parts)} parts, {told}, {peak:.0f} MiB of memory at the peak")
    with s3.store() as store:
        store.delete(f"{s3.prefix}/{agent.run}/{file.object}")


def _peak_rss(pid: int) -> float:
    """MiB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024
