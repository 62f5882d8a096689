"""Which files are code: git's word where there is one, else all but the usual junk."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import runctl.tree
from runctl.tree import root_around
from runctl_agent.errors import ConfigError

WHO = {name: "a@b" for role in ("AUTHOR", "COMMITTER") for name in (f"GIT_{role}_NAME", f"GIT_{role}_EMAIL")}


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, env={**os.environ, **WHO})


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("")


def test_without_git_all_but_junk_secrets_and_checkpoints(tmp_path: Path) -> None:
    touch(tmp_path, "train.py", "lib/a.py", "data/x.csv", ".hidden", "checkpoints/1.pt", "runs/out/2.pt")
    touch(
        tmp_path, "__pycache__/a.pyc", "lib/b.pyc", ".venv/x", "venv/x", "node_modules/x", ".DS_Store", ".env", ".aws/credentials"
    )
    root = root_around(str(tmp_path / "train.py"))
    assert (root.path, root.git) == (str(tmp_path), False)
    assert root.files(["./checkpoints", "runs/out/", ".", ""]) == (".hidden", "data/x.csv", "lib/a.py", "train.py")


def test_with_git_what_is_tracked_and_what_is_new_but_not_ignored(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    touch(tmp_path, "src/train.py", "kept.log", "gone.py", "new.py", "made/x", "checkpoints/1.pt")
    (tmp_path / ".gitignore").write_text("*.log\nmade/\n")
    git(tmp_path, "add", "-f", "src/train.py", "kept.log", "gone.py", ".gitignore")
    (tmp_path / "gone.py").unlink()
    root = root_around(str(tmp_path / "src" / "train.py"))
    assert (os.path.realpath(root.path), root.git) == (os.path.realpath(tmp_path), True)
    assert root.files() == (".gitignore", "checkpoints/1.pt", "kept.log", "new.py", "src/train.py")
    assert root.files(["./checkpoints", "src"]) == (".gitignore", "kept.log", "new.py", "src/train.py"), "what is tracked goes"
    assert root.relative(str(tmp_path / "src" / "train.py")) == "src/train.py"


def test_repositories_inside_are_asked_themselves(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    inner = tmp_path / "vendor" / "lib"
    touch(inner, "code.py", "build/x")
    git(inner, "init", "-q")
    (inner / ".gitignore").write_text("build/\n")
    touch(tmp_path, "train.py")
    assert root_around(str(tmp_path / "train.py")).files() == ("train.py", "vendor/lib/.gitignore", "vendor/lib/code.py")
    git(inner, "add", "-A")
    git(inner, "commit", "-q", "-m", "x")
    git(tmp_path, "add", "-A")
    assert "vendor/lib/code.py" in root_around(str(tmp_path / "train.py")).files(), "as a submodule would be"


def test_names_that_git_would_quote(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    names = ["a b", "ü.py", 'q"uote', os.fsdecode(b"not-utf8-\xff"), "new\nline"]
    touch(tmp_path, *names)
    assert root_around(str(tmp_path / "x.py")).files() == tuple(sorted(names))


def test_a_hooks_environment_does_not_mislead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "-q")
    touch(tmp_path, "train.py")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert root_around(str(tmp_path / "train.py")).files() == ("train.py",)


def test_a_work_tree_of_which_git_can_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").write_text("gitdir: /nowhere")
    with pytest.raises(ConfigError, match="git can't say"):
        root_around(str(tmp_path / "train.py"))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="git can't be run"):
        root_around(str(tmp_path / "train.py"))


def test_a_whole_home_is_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runctl.tree, "MOST_FILES", 3)
    touch(tmp_path, *"abcd")
    with pytest.raises(ConfigError, match="more than 3 files"):
        root_around(str(tmp_path / "a")).files()


def test_through_a_link_to_the_folder(tmp_path: Path) -> None:
    touch(tmp_path / "real", "train.py")
    (tmp_path / "link").symlink_to("real")
    root = root_around(str(tmp_path / "link" / "train.py"))
    assert root.relative(str(tmp_path / "link" / "train.py")) == "train.py"


def test_a_home_under_git_is_not_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "-q")
    touch(tmp_path, ".ssh/id", "work/train.py")
    monkeypatch.setenv("HOME", str(tmp_path))
    root = root_around(str(tmp_path / "work" / "train.py"))
    assert (root.path, root.git) == (str(tmp_path / "work"), False)
