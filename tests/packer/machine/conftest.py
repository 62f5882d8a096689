"""What install.sh is given, made once; and bare machines for it: a real systemd, without an agent."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd.nspawn import REPOSITORY, Machine, done, machine, root_tar, unpacked
from tests.vm.vm import wheels as fetched


@pytest.fixture(scope="session")
def wheels() -> Path:
    """The wheels that an offline machine is given. From PyPI, by hash."""
    return fetched()


@pytest.fixture(scope="session")
def own_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    done(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), folder=REPOSITORY)
    (found,) = folder.glob("runctl-*.whl")
    return found


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked(root_tar(), tmp_path_factory.mktemp("root") / "root")


@pytest.fixture
def bare(root: Path, tmp_path: Path) -> Iterator[Machine]:
    shared = tmp_path / "shared"
    shared.mkdir()
    with machine(root, shared, tmp_path / "console") as found:
        found.run("umount", "/opt/runctl")
        found.run("rmdir", "/opt/runctl")
        yield found
