"""Real processes, a server of the test's own that may be stopped and killed, and what must be true once all is quiet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runctl_simulator.seaweed import SeaweedFS
from tests.e2e.seaweed import S3
from tests.proof.proven import Proven


@pytest.fixture
def own(tmp_path: Path) -> Iterator[SeaweedFS]:
    with SeaweedFS(tmp_path / "seaweed") as server:
        yield server


@pytest.fixture
def proven(tmp_path: Path, own: SeaweedFS) -> Iterator[Proven]:
    place = S3(own.endpoint, f"proof/{os.getpid()}")
    yield Proven(tmp_path, place)
    place.close()
