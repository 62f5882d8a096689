"""What install.sh is given, made once; and bare machines for it: a real systemd, without an agent."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd.nspawn import REPOSITORY, Machine, machine, root_tar, unpacked

LOCK = REPOSITORY / "packer" / "requirements.lock"


@pytest.fixture(scope="session")
def wheels() -> Iterator[Path]:
    """The wheels that an offline machine is given, and runctl's own in dist/ beside them. From PyPI, by hash."""
    with tempfile.TemporaryDirectory(prefix="runctl-wheels-") as folder:
        own = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", f"{folder}/dist"]
        fetch = [sys.executable, "-m", "pip", "-q", "download", "--require-hashes", "--no-deps", "--only-binary", ":all:"]
        for argv in (own, [*fetch, "-r", str(LOCK), "-d", folder]):
            done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=300)
            assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        yield Path(folder)


@pytest.fixture(scope="session")
def own_wheel(wheels: Path) -> Path:
    (found,) = (wheels / "dist").glob("runctl-*.whl")
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
