"""The disk of the snapshots fails while they are let go or swept: that is told, and ends nothing."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from runctl_agent.disk.mounts import Mount
from runctl_agent.disk.stage import Stager
from tests.fakes.checkpoints import finished, write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "run" / "checkpoints"
    made.mkdir(parents=True)
    write(made / "last.pt", b"x")
    return made


def stager(tmp_path: Path, root: Path) -> Stager:
    (tmp_path / "state").mkdir(exist_ok=True)
    return Stager(str(tmp_path / "state"), keep_free=0, roots=[str(root)], superuser=False)


def failing(monkeypatch: pytest.MonkeyPatch, number: int, which: str) -> None:
    real = shutil.rmtree

    def rmtree(name: str, *, dir_fd: int) -> None:
        if name == which:
            raise OSError(number, os.strerror(number))
        real(name, dir_fd=dir_fd)

    monkeypatch.setattr(shutil, "rmtree", rmtree)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EIO, errno.EBUSY, errno.ENOTEMPTY])
def test_a_release_that_fails_is_told_once_and_not_raised(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    stage = stager(tmp_path, root)
    staged = stage.stage(finished(root, "last.pt"), copy=False, label="n")
    failing(monkeypatch, number, "n")
    stage.release(staged)
    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert staged.directory in said
    assert os.strerror(number) in said


def test_what_a_release_left_goes_with_a_later_one(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As on a disk that was read-only for a while: the next start may be months away, and the room is the training's."""
    stage = stager(tmp_path, root)
    first, second, third = (stage.stage(finished(root, "last.pt"), copy=False, label=label) for label in "abc")
    with monkeypatch.context() as for_now:
        failing(for_now, errno.EROFS, "a")
        stage.release(first)
        stage.release(second)
    assert sorted(os.listdir(tmp_path / "state" / "staging")) == ["a", "c"]
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1, "told once"
    stage.release(third)
    assert os.listdir(tmp_path / "state" / "staging") == []


def test_a_sweep_goes_on_after_what_it_cant_remove(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for label in ("a", "b", "c"):
        stage = stager(tmp_path, root)
        stage.journaled(stage.stage(finished(root, "last.pt"), copy=False, label=label))
    (tmp_path / "state" / "staging" / "stray").write_text("no snapshot")
    failing(monkeypatch, errno.EIO, "b")
    removed = stager(tmp_path, root).sweep(set())
    assert sorted(map(os.path.basename, removed)) == ["a", "c"]
    assert "staging/b" in caplog.text
    assert sorted(os.listdir(tmp_path / "state" / "staging")) == ["b", "stray"]


def test_a_place_that_became_anothers_is_told_and_not_raised(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stage = stager(tmp_path, root)
    staged = stage.stage(finished(root, "last.pt"), copy=False, label="n")
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    stage.release(staged)
    assert "another user owns it" in caplog.text


def test_descriptors_that_fail_to_close_are_all_closed(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root / "other.pt", b"y")
    (tmp_path / "state").mkdir()
    stage = Stager(str(tmp_path / "state"), keep_free=0, superuser=False, mount=lambda path: Mount(hash(path), "/", "ext4"))
    before = len(os.listdir("/proc/self/fd"))
    staged = stage.stage(finished(root, "last.pt"), copy=False, label="n")
    assert staged.directory == ""
    real = os.close

    def close(fd: int) -> None:
        kept = os.readlink(f"/proc/self/fd/{fd}").endswith("last.pt")
        real(fd)
        if kept:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "close", close)
        stage.release(staged)
    assert len(os.listdir("/proc/self/fd")) == before
