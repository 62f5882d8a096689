"""One root file system for all tests of this folder; a machine of its own for each."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd.nspawn import Machine, machine, root_tar, unpacked


@pytest.fixture(scope="session")
def root() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="runctl-root-"))
    try:
        yield unpacked(root_tar(), folder / "root")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def booted(root: Path, tmp_path: Path) -> Iterator[Machine]:
    shared = tmp_path / "shared"
    shared.mkdir()
    with machine(root, shared, tmp_path / "console") as found:
        yield found
