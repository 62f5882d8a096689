from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.disk.openat import make_below, open_below, open_directory, open_file, opened, parts
from runctl_agent.errors import WrongStateError


@pytest.mark.parametrize("path", ["", "/", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a/", "a\0b"])
def test_paths_that_lead_elsewhere(path: str) -> None:
    with pytest.raises(WrongStateError):
        parts(path)


@given(st.text())
def test_parts_never_lead_up(path: str) -> None:
    try:
        found = parts(path)
    except WrongStateError:
        return
    assert "/".join(found) == path
    assert not set(found) & {"", ".", ".."}


def test_a_link_anywhere_on_the_way_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "real" / "deep" / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real" / "deep" / "other").symlink_to("file")
    with opened(open_directory(str(tmp_path))) as base:
        os.close(open_file(base, "real/deep/file"))
        for path in ("link/deep/file", "real/deep/other"):
            with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
                open_file(base, path)
        with pytest.raises(NotADirectoryError):
            open_below(base, "link")
    with pytest.raises(NotADirectoryError):
        open_directory(str(tmp_path / "link" / "deep"))


def test_only_regular_files_are_opened_and_none_blocks(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    before = len(os.listdir("/proc/self/fd"))
    with opened(open_directory(str(tmp_path))) as base:
        for name in ("fifo", "directory", "nothing"):
            with pytest.raises(FileNotFoundError):
                open_file(base, name)
    assert len(os.listdir("/proc/self/fd")) == before


def test_directories_are_made_for_us_alone(tmp_path: Path) -> None:
    with opened(open_directory(str(tmp_path))) as base:
        os.close(make_below(base, ["a", "b"]))
        os.close(make_below(base, ["a", "b"]))
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
