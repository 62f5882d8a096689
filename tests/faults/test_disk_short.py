"""A copy would leave less than keep_free, or does not fit at all: then a link is better than nothing."""

from __future__ import annotations

import errno
import fcntl
import os
from dataclasses import replace
from pathlib import Path

import pytest

from runctl_agent.disk import hold
from runctl_agent.disk.mounts import Mount
from runctl_agent.disk.stage import Stager
from runctl_agent.errors import DiskShort, SourceChanged
from runctl_agent.records import Held, Kind
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


@pytest.mark.parametrize(
    ("inodes", "free", "out"),
    [(1000, 1, False), (1000, 0, True), (0, 0, False)],  # the last: a file system that makes them as it goes (btrfs)
)
def test_whether_an_inode_is_left(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, inodes: int, free: int, *, out: bool
) -> None:
    result = os.statvfs_result((4096, 4096, 100, 100, 100, inodes, free, free, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: result)
    assert stager(tmp_path, root, 0).out_of_inodes(str(root)) is out


def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "link", lambda *_: None)


@pytest.mark.parametrize("copy", [True, False])
def test_where_no_link_is_possible_a_copy_that_leaves_too_little_is_not_begun(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, copy: bool
) -> None:
    no_links(monkeypatch)
    monkeypatch.setattr(hold, "copy", None)
    write(root / "checkpoint-5" / "a.bin", b"a" * 6)
    write(root / "checkpoint-5" / "b.bin", b"b" * 5)
    done = finished(root, "checkpoint-5", Kind.HUGGINGFACE)
    with pytest.raises(DiskShort, match="11 bytes leaves 1 bytes too little") as caught:
        stager(tmp_path, root, (400 << 20) - 10).stage(done, copy=copy, label="n")
    assert "keep_free" in caught.value.mend
    assert os.listdir(tmp_path / "state" / "staging") == []


def test_what_there_is_no_room_to_copy_is_linked_as_a_whole(tmp_path: Path, root: Path) -> None:
    write(root / "checkpoint-5" / "a.bin", b"a" * 6)
    write(root / "checkpoint-5" / "b.bin", b"b" * 5)
    done = finished(root, "checkpoint-5", Kind.HUGGINGFACE)
    stage = stager(tmp_path, root, (400 << 20) - 10)
    staged = stage.stage(done, copy=True, label="n")
    assert [file.held for file in staged.files] == [Held.LINK, Held.LINK], "half a copy holds nothing"
    stage.verify(staged)
    write(root / "checkpoint-5" / "a.bin", b"other")
    with pytest.raises(SourceChanged):
        stage.verify(staged)


def test_a_copy_that_just_fits(tmp_path: Path, root: Path) -> None:
    write(root / "last.pt", b"a" * 10)
    staged = stager(tmp_path, root, (400 << 20) - 10).stage(finished(root, "last.pt"), copy=True, label="n")
    assert staged.files[0].held is Held.COPY


def test_a_link_needs_no_room(tmp_path: Path, root: Path) -> None:
    write(root / "last.pt", b"a" * 10)
    staged = stager(tmp_path, root, GIB).stage(finished(root, "last.pt"), copy=False, label="n")
    assert staged.files[0].held is Held.LINK


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("linked", [True, False])
def test_a_disk_that_fills_up_while_copying(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, number: int, linked: bool
) -> None:
    def fill_up(source: int, target: int, size: int) -> None:
        os.pwrite(target, b"half", 0)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(hold, "_pour", fill_up)
    write(root / "last.pt", b"a" * 10)
    stage = stager(tmp_path, root, 0)
    if linked:
        staged = stage.stage(finished(root, "last.pt"), copy=True, label="n")
        assert staged.files[0].held is Held.LINK
        assert os.stat(os.path.join(staged.directory, "last.pt")).st_size == 10
    else:
        no_links(monkeypatch)
        with pytest.raises(DiskShort):
            stage.stage(finished(root, "last.pt"), copy=True, label="n")
        assert os.listdir(tmp_path / "state" / "staging") == []
    assert os.listdir(root) == ["last.pt"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_no_room_for_a_reflink_is_room_for_a_link(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.undo()

    def full(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "ioctl", full)
    write(root / "last.pt", b"a" * 10)
    staged = stager(tmp_path, root, 0).stage(finished(root, "last.pt"), copy=False, label="n")
    assert staged.files[0].held is Held.LINK


# --- what letting go would free ---


def test_a_copy_frees_its_size(tmp_path: Path, root: Path) -> None:
    write(root / "last.pt", b"a" * 10)
    stage = stager(tmp_path, root, 0)
    staged = stage.stage(finished(root, "last.pt"), copy=True, label="n")
    assert stage.frees(staged) == 10
    stage.release(staged)
    assert stage.frees(staged) == 0


def test_a_link_frees_nothing_while_the_trainer_has_the_file(tmp_path: Path, root: Path) -> None:
    write(root / "checkpoint-5" / "a.bin", b"a" * 6)
    write(root / "checkpoint-5" / "b.bin", b"b" * 5)
    stage = stager(tmp_path, root, 0)
    staged = stage.stage(finished(root, "checkpoint-5", Kind.HUGGINGFACE), copy=False, label="n")
    assert stage.frees(staged) == 0
    (root / "checkpoint-5" / "a.bin").unlink()
    assert stage.frees(staged) == 6
    (root / "checkpoint-5" / "b.bin").unlink()
    assert stage.frees(staged) == 11


def test_descriptors_free_what_was_deleted(tmp_path: Path, root: Path) -> None:
    (tmp_path / "state").mkdir()
    stage = Stager(str(tmp_path / "state"), keep_free=0, superuser=False, mount=lambda path: Mount(hash(path), "/", "ext4"))
    write(root / "last.pt", b"a" * 10)
    staged = stage.stage(finished(root, "last.pt"), copy=False, label="n")
    assert staged.directory == ""
    assert stage.frees(staged) == 0
    (root / "last.pt").unlink()
    assert stage.frees(staged) == 10
    stage.release(staged)
    assert stage.frees(staged) == 0


def test_what_cant_be_looked_at_frees_nothing(tmp_path: Path, root: Path) -> None:
    write(root / "last.pt", b"a" * 10)
    stage = stager(tmp_path, root, 0)
    staged = stage.stage(finished(root, "last.pt"), copy=True, label="n")
    for directory in ("relative", "/", "/nowhere/at/all", "/\0"):
        assert stage.frees(replace(staged, directory=directory)) == 0
