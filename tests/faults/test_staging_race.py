"""The trainer writes, replaces or removes a checkpoint while it is being staged."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runctl_agent.disk import hold
from runctl_agent.disk.stage import Stager
from runctl_agent.errors import SourceChanged
from runctl_agent.records import FileId, Kind
from tests.fakes.checkpoints import finished, write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "checkpoints"
    made.mkdir()
    return made


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state" / "staging"


@pytest.fixture
def stager(staging: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Stager:
    monkeypatch.setattr(hold, "reflink", lambda *_: None)
    return Stager(str(staging.parent), keep_free=0, roots=[str(root)], superuser=False)


def meanwhile(monkeypatch: pytest.MonkeyPatch, how: str, act: Callable[[], object]) -> None:
    """Let the trainer act once, just before a file is held in this way."""
    real: Callable[[int, int, str], FileId] = getattr(hold, how)
    acts = [act]

    def racing(source: int, directory: int, name: str) -> FileId:
        while acts:
            acts.pop()()
        return real(source, directory, name)

    monkeypatch.setattr(hold, how, racing)


def assert_nothing_left(staging: Path) -> None:
    assert os.listdir(staging) == []


@pytest.mark.parametrize("copy", [False, True])
def test_rewritten_in_place_while_held(
    stager: Stager, staging: Path, root: Path, monkeypatch: pytest.MonkeyPatch, copy: bool
) -> None:
    write(root / "last.pt", b"old")
    done = finished(root, "last.pt")
    meanwhile(monkeypatch, "copy" if copy else "link", lambda: (root / "last.pt").write_bytes(b"new"))
    with pytest.raises(SourceChanged):
        stager.stage(done, copy=copy, label="n")
    assert_nothing_left(staging)
    assert (root / "last.pt").read_bytes() == b"new"


def test_cut_short_while_copied(stager: Stager, staging: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root / "last.pt", b"x" * 100_000)
    done = finished(root, "last.pt")
    meanwhile(monkeypatch, "copy", lambda: os.truncate(root / "last.pt", 10))
    with pytest.raises(SourceChanged):
        stager.stage(done, copy=True, label="n")
    assert_nothing_left(staging)


@pytest.mark.parametrize("copy", [False, True])
def test_replaced_by_rename_while_held_is_still_the_old_one(
    stager: Stager, root: Path, monkeypatch: pytest.MonkeyPatch, copy: bool
) -> None:
    write(root / "last.pt", b"old")
    write(root / "next.tmp", b"new")
    done = finished(root, "last.pt")
    meanwhile(monkeypatch, "copy" if copy else "link", lambda: (root / "next.tmp").replace(root / "last.pt"))
    staged = stager.stage(done, copy=copy, label="n")
    with open(stager.open(staged, "last.pt"), "rb") as file:
        assert file.read() == b"old"


def test_deleted_while_linked_is_held_all_the_same(stager: Stager, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root / "last.pt", b"old")
    done = finished(root, "last.pt")
    meanwhile(monkeypatch, "link", (root / "last.pt").unlink)
    staged = stager.stage(done, copy=False, label="n")
    with open(stager.open(staged, "last.pt"), "rb") as file:
        assert file.read() == b"old"


def test_half_deleted_before_it_is_held(stager: Stager, staging: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.bin", "b.bin", "c.bin"):
        write(root / "checkpoint-5" / name, b"x")
    done = finished(root, "checkpoint-5", Kind.HUGGINGFACE)
    meanwhile(monkeypatch, "link", (root / "checkpoint-5" / "b.bin").unlink)
    with pytest.raises(SourceChanged):
        stager.stage(done, copy=False, label="n")
    assert_nothing_left(staging)


@pytest.mark.parametrize("missing", ["root", "directory"])
def test_gone_altogether(stager: Stager, root: Path, missing: str) -> None:
    write(root / "checkpoint-5" / "a.bin", b"x")
    done = finished(root, "checkpoint-5", Kind.HUGGINGFACE)
    (root / "checkpoint-5").rename(root.parent / "away")
    if missing == "root":
        root.rmdir()
    with pytest.raises(SourceChanged):
        stager.stage(done, copy=False, label="n")


def test_a_later_file_rewritten_before_its_turn(
    stager: Stager, staging: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root / "checkpoint-5" / "a.bin", b"a")
    write(root / "checkpoint-5" / "b.bin", b"b")
    done = finished(root, "checkpoint-5", Kind.HUGGINGFACE)
    meanwhile(monkeypatch, "link", lambda: write(root / "checkpoint-5" / "b.bin", b"b", mtime_ns=1))
    with pytest.raises(SourceChanged):
        stager.stage(done, copy=False, label="n")
    assert_nothing_left(staging)
