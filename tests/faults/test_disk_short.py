"""A copy would leave less than keep_free, or does not fit at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from runctl_agent.disk import hold
from runctl_agent.disk.stage import Stager
from runctl_agent.errors import DiskShort
from runctl_agent.records import FileId, Held, Kind
from tests.fakes.checkpoints import finished, write

GIB = 1 << 30


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "checkpoints"
    made.mkdir()
    return made


@pytest.fixture(autouse=True)
def disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk of 1 GiB with 400 MiB free, without reflinks."""
    size, free = GIB // 4096, (400 << 20) // 4096
    result = os.statvfs_result((4096, 4096, size, free, free, 1000, 1000, 1000, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: result)
    monkeypatch.setattr(os, "fstatvfs", lambda _: result)
    monkeypatch.setattr(hold, "reflink", lambda *_: None)


def stager(tmp_path: Path, root: Path, keep_free: float) -> Stager:
    (tmp_path / "state").mkdir(exist_ok=True)
    return Stager(str(tmp_path / "state"), keep_free=keep_free, roots=[str(root)], superuser=False)


@pytest.mark.parametrize(
    ("keep_free", "short"),
    [(0, 0), (0.1, 0), (0.5, (512 - 400) << 20), (400 << 20, 0), ((400 << 20) + 1, 1), (GIB, 624 << 20)],
)
def test_how_much_is_short(tmp_path: Path, root: Path, keep_free: float, short: int) -> None:
    assert stager(tmp_path, root, keep_free).short_by(str(root)) == short


def test_a_copy_that_leaves_too_little_is_not_begun(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "copy", None)
    write(root / "checkpoint-5" / "a.bin", b"a" * 6)
    write(root / "checkpoint-5" / "b.bin", b"b" * 5)
    done = finished(root, "checkpoint-5", Kind.HUGGINGFACE)
    with pytest.raises(DiskShort, match="11 bytes leaves 1 bytes too little") as caught:
        stager(tmp_path, root, (400 << 20) - 10).stage(done, copy=True, label="n")
    assert "keep_free" in caught.value.mend
    assert os.listdir(tmp_path / "state" / "staging") == []


def test_a_copy_that_just_fits(tmp_path: Path, root: Path) -> None:
    write(root / "last.pt", b"a" * 10)
    staged = stager(tmp_path, root, (400 << 20) - 10).stage(finished(root, "last.pt"), copy=True, label="n")
    assert staged.files[0].held is Held.COPY


def test_a_link_needs_no_room(tmp_path: Path, root: Path) -> None:
    write(root / "last.pt", b"a" * 10)
    staged = stager(tmp_path, root, GIB).stage(finished(root, "last.pt"), copy=False, label="n")
    assert staged.files[0].held is Held.LINK


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_while_copying(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    real = hold.copy

    def fill_up(source: int, directory: int, name: str) -> FileId:
        real(source, directory, name)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(hold, "copy", fill_up)
    write(root / "last.pt", b"a" * 10)
    with pytest.raises(DiskShort):
        stager(tmp_path, root, 0).stage(finished(root, "last.pt"), copy=True, label="n")
    assert os.listdir(tmp_path / "state" / "staging") == []
    assert os.listdir(root) == ["last.pt"]
