"""What `--version` says: the commit that was baked in, else what git says of the checkout, else that there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from runctl_agent import __version__, build

IDENTITY = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b"}
IDENTITY |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}


def git(folder: Path, *argv: str) -> str:
    done = subprocess.run(["git", *argv], cwd=folder, env={**os.environ, **IDENTITY}, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package is here, and in no checkout."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(build, "HERE", str(tmp_path))
    monkeypatch.setattr(build, "BAKED", str(tmp_path / "commit.txt"))
    return tmp_path


@pytest.fixture
def checkout(here: Path) -> Path:
    git(here, "init", "-q")
    (here / "a").write_text("a")
    git(here, "add", "a")
    git(here, "commit", "-q", "-m", "a")
    return here


def test_what_was_baked_in_goes_first(checkout: Path) -> None:
    (checkout / "commit.txt").write_text("0123456789ab\n")
    assert build.described() == "0123456789ab"
    assert build.version_of("runctl-agent") == f"runctl-agent {__version__} (0123456789ab)"


def test_a_checkout_asks_its_git(checkout: Path) -> None:
    assert build.described() == git(checkout, "rev-parse", "--short=12", "HEAD")
    (checkout / "a").write_text("b")
    assert build.described() == git(checkout, "rev-parse", "--short=12", "HEAD") + "-dirty"


def test_a_tag_does_not_stand_for_the_commit(checkout: Path) -> None:
    git(checkout, "tag", "-a", "v9", "-m", "v9")
    assert build.described() == git(checkout, "rev-parse", "--short=12", "HEAD")


def test_where_there_is_no_commit_it_says_so(here: Path) -> None:
    assert build.described() == "of no commit"


@pytest.mark.parametrize("git_is", ["absent", "broken", "slow"])
def test_it_never_raises(checkout: Path, monkeypatch: pytest.MonkeyPatch, git_is: str) -> None:
    tools = checkout / "tools"
    tools.mkdir()
    if git_is != "absent":
        sleep = shutil.which("sleep")
        (tools / "git").write_text("#!/bin/sh\nexit 128\n" if git_is == "broken" else f"#!/bin/sh\nexec {sleep} 60\n")
        (tools / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.setattr(build, "PATIENCE", 0.2)
    assert build.described() == "of no commit"


def test_a_baked_commit_that_is_garbage_is_as_none(here: Path) -> None:
    (here / "commit.txt").write_bytes(b"\xff\xfe")
    assert build.described() == "of no commit"
