"""Where the simulated machines have their disks."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation import seeded

MEMORY = "/dev/shm"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """In memory where there is such a file system: no simulated machine loses its power, and fsync is half of the time."""
    if not (os.path.isdir(MEMORY) and os.access(MEMORY, os.W_OK)):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="runctl-simulation-") as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """What a test simulated is let go of when it ends: it has the machines' memory, journals and descriptors."""
    yield
    while seeded.OPEN:
        seeded.OPEN.pop().end()
