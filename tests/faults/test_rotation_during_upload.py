"""The trainer deletes or rewrites a checkpoint while its snapshot is being sent."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from runctl_agent.disk import hold
from runctl_agent.disk.stage import Stager
from runctl_agent.errors import SourceChanged
from runctl_agent.records import Held, Kind
from tests.fakes.checkpoints import finished, write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "checkpoints"
    made.mkdir()
    return made


@pytest.fixture
def stager(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Stager:
    monkeypatch.setattr(hold, "reflink", lambda *_: None)
    (tmp_path / "state").mkdir()
    return Stager(str(tmp_path / "state"), keep_free=0, roots=[str(root)], superuser=False)


def test_rotated_away_between_two_parts(stager: Stager, root: Path) -> None:
    write(root / "checkpoint-5" / "model.bin", b"first" + b"second")
    staged = stager.stage(finished(root, "checkpoint-5", Kind.HUGGINGFACE), copy=False, label="n")
    fd = stager.open(staged, "model.bin")
    assert os.pread(fd, 5, 0) == b"first"
    shutil.rmtree(root / "checkpoint-5")
    assert os.pread(fd, 6, 5) == b"second"
    os.close(fd)
    stager.verify(staged)
    os.close(stager.open(staged, "model.bin"))
    assert os.listdir(root) == []


def test_a_link_rewritten_in_place_is_told(stager: Stager, root: Path) -> None:
    write(root / "last.pt", b"old")
    staged = stager.stage(finished(root, "last.pt"), copy=False, label="n")
    assert staged.files[0].held is Held.LINK
    (root / "last.pt").write_bytes(b"new")
    with pytest.raises(SourceChanged):
        stager.verify(staged)
    with pytest.raises(SourceChanged):
        stager.open(staged, "last.pt")
    stager.release(staged)
    assert (root / "last.pt").read_bytes() == b"new"


def test_a_copy_outlives_every_rewrite(stager: Stager, root: Path) -> None:
    write(root / "last.pt", b"old")
    staged = stager.stage(finished(root, "last.pt"), copy=True, label="n")
    for minute in range(3):
        (root / "last.pt").write_bytes(b"new %d" % minute)
        stager.verify(staged)
    with open(stager.open(staged, "last.pt"), "rb") as file:
        assert file.read() == b"old"


def test_replaced_by_rename_leaves_the_snapshot(stager: Stager, root: Path) -> None:
    write(root / "last.pt", b"old")
    staged = stager.stage(finished(root, "last.pt"), copy=False, label="n")
    write(root / "last.tmp", b"new")
    (root / "last.tmp").replace(root / "last.pt")
    stager.verify(staged)
    with open(stager.open(staged, "last.pt"), "rb") as file:
        assert file.read() == b"old"
