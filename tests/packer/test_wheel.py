"""The wheel and the source archive, by hatchling: the commit is in them, and what the image's tags are checked against."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PARTS = ("agent", "controller", "simulator", "pyproject.toml", "hatch_build.py", "README.md", "LICENSE")
COMMIT = "runctl_agent/commit.txt"
USER = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel") / "source"
    folder.mkdir()
    ignore = shutil.ignore_patterns("__pycache__")
    for part in PARTS:
        if (REPOSITORY / part).is_dir():
            shutil.copytree(REPOSITORY / part, folder / part, ignore=ignore)
        else:
            shutil.copy(REPOSITORY / part, folder)
    return folder


@pytest.fixture(scope="module")
def checkout(source: Path) -> Path:
    folder = source.with_name("checkout")
    shutil.copytree(source, folder)
    for argv in (("init", "-q"), ("add", "."), (*USER, "commit", "-q", "-m", "all")):
        subprocess.run(["git", *argv], cwd=folder, check=True, capture_output=True)
    return folder


def made(source: Path, target: str, to: Path, **environ: str) -> Path:
    argv = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(to)]
    whole = {**os.environ, "GIT_CEILING_DIRECTORIES": str(source.parent), **environ}
    subprocess.run(argv, cwd=source, env=whole, check=True, capture_output=True)
    (found,) = to.iterdir()
    return found


def commit_in(wheel: Path) -> str:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(COMMIT).decode()


def head(checkout: Path) -> str:
    argv = ["git", "rev-parse", "--short=12", "HEAD"]
    return subprocess.run(argv, cwd=checkout, check=True, capture_output=True, text=True).stdout


def test_a_wheel_has_its_commit(checkout: Path, tmp_path: Path) -> None:
    wheel = made(checkout, "wheel", tmp_path, RUNCTL_COMMIT="not asked")
    assert commit_in(wheel) == head(checkout)
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    assert tops == {"runctl_agent", "runctl", "runctl_simulator", "runctl-0.1.0.dist-info"}
    assert not (checkout / "agent" / COMMIT).exists(), "a checkout asks its git"


def test_a_wheel_of_a_source_archive_has_the_archives_commit(checkout: Path, tmp_path: Path) -> None:
    archive = made(checkout, "sdist", tmp_path / "sdist")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert commit_in(made(unpacked, "wheel", tmp_path / "wheel", RUNCTL_COMMIT="not asked")) == head(checkout)


@pytest.mark.parametrize(("told", "baked"), [("0123456789ab", "0123456789ab\n"), ("", "of no commit\n")])
def test_files_without_their_git_are_told_their_commit(source: Path, tmp_path: Path, told: str, baked: str) -> None:
    assert commit_in(made(source, "wheel", tmp_path, RUNCTL_COMMIT=told)) == baked
