"""No room for a name in staging, or a file system that was remounted read-only: what is finished is held open instead."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest

from runctl_agent.disk import hold
from runctl_agent.disk.stage import Stager
from runctl_agent.errors import DiskShort, WrongStateError
from runctl_agent.records import Held, Staged
from tests.fakes.checkpoints import finished, write

UNWRITABLE = pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "checkpoints"
    made.mkdir()
    (tmp_path / "state" / "staging").mkdir(parents=True, mode=0o700)
    return made


def stage(tmp_path: Path, root: Path) -> tuple[Stager, Staged]:
    write(root / "last.pt", b"a" * 10)
    stager = Stager(str(tmp_path / "state"), keep_free=0, roots=[str(root)], superuser=False)
    return stager, stager.stage(finished(root, "last.pt"), copy=False, label="n")


def is_held_open(tmp_path: Path, root: Path, stager: Stager, staged: Staged) -> None:
    assert [file.held for file in staged.files] == [Held.DESCRIPTOR]
    assert staged.directory == ""
    assert "'last.pt'" in stager.held_open
    assert "is held open, not staged" in stager.held_open
    assert os.listdir(tmp_path / "state" / "staging") == []
    (root / "last.pt").unlink()
    held = stager.open(staged, "last.pt")
    assert os.read(held, 99) == b"a" * 10
    os.close(held)
    stager.release(staged)
    assert stager.held_open == ""


@UNWRITABLE
def test_there_is_no_room_for_a_directory(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    make = os.mkdir

    def mkdir(path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        if path == "n":
            raise OSError(number, os.strerror(number))
        make(path, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", mkdir)
    is_held_open(tmp_path, root, *stage(tmp_path, root))


@UNWRITABLE
def test_there_is_no_room_for_a_file_in_it(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(*_: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(hold, "reflink", fail)
    is_held_open(tmp_path, root, *stage(tmp_path, root))


def test_where_descriptors_run_out_it_is_room_that_is_wanted(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what is superseded is let go for it."""

    def none_left(_: int) -> NoReturn:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def full(*_: object) -> NoReturn:
        monkeypatch.setattr(os, "dup", none_left)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(hold, "reflink", full)
    with pytest.raises(DiskShort, match="No space left"):
        stage(tmp_path, root)


def test_what_can_not_be_read_is_not_held_at_all(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> NoReturn:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(hold, "reflink", fail)
    with pytest.raises(WrongStateError, match="can't be staged"):
        stage(tmp_path, root)
    assert os.listdir(tmp_path / "state" / "staging") == []
