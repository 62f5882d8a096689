"""Real processes, a server of the test's own that may be stopped and killed, and what must be true once all is quiet."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from runctl_simulator.seaweed import SeaweedFS
from tests.e2e.seaweed import S3
from tests.proof.mounts import tmpfs
from tests.proof.proven import Proven
from tests.proof.trained import Trained


@pytest.fixture
def own(tmp_path: Path) -> Iterator[SeaweedFS]:
    with SeaweedFS(tmp_path / "seaweed") as server:
        yield server


@pytest.fixture
def proven(tmp_path: Path, own: SeaweedFS) -> Iterator[Proven]:
    place = S3(own.endpoint, f"proof/{os.getpid()}")
    yield Proven(tmp_path, place)
    place.close()


@pytest.fixture
def trained(tmp_path: Path, own: SeaweedFS) -> Iterator[Callable[[Path, Path], Trained]]:
    """What is proven with a training beside it, by the disk of its checkpoints and the agent's own folder."""
    place = S3(own.endpoint, f"proof/{os.getpid()}")
    yield partial(_trained, tmp_path, place)
    place.close()


def _trained(tmp_path: Path, place: S3, disk: Path, state: Path, kind: type[Trained] = Trained) -> Trained:
    return kind(tmp_path, place, disk=disk, state=state)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes small disks, of options of tmpfs(5)."""
    with ExitStack() as mounted:
        yield lambda options: mounted.enter_context(tmpfs(tmp_path / "disk", options))
