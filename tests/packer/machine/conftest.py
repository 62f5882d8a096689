"""What install.sh is given, made once; and bare machines for it: a real systemd, without an agent."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packer import page
from tests.packer.machine.template import PACKER, told
from tests.systemd.nspawn import REPOSITORY, Machine, machine, root_tar, unpacked


@pytest.fixture(scope="session")
def wheels() -> Path:
    """The wheels that an offline machine is given, by the page's own command; kept while that and the lock are the same."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "runctl-tests"
    key = hashlib.sha256((PACKER / "requirements.lock").read_bytes() + page.DOWNLOAD.encode()).hexdigest()[:12]
    kept = cache / f"image-wheels-{key}"
    if not kept.exists():
        making = cache / f"making-wheels-{os.getpid()}"
        making.mkdir(parents=True)
        (making / "packer").symlink_to(PACKER)
        told(page.DOWNLOAD, making)
        (making / "wheels").rename(kept)
        shutil.rmtree(making)
    return kept


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources, and the wheel that the page has made of them. Its git is the repository's."""
    folder = tmp_path_factory.mktemp("sources") / "checkout"
    shutil.copytree(REPOSITORY, folder, ignore=shutil.ignore_patterns(".*", "tests", "dist", "bench", "__pycache__"))
    told(page.WHEEL, folder)
    return folder


@pytest.fixture(scope="session")
def own_wheel(checkout: Path) -> Path:
    (found,) = (checkout / "dist").glob("runctl-*.whl")
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
