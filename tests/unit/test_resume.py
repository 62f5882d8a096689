"""What is to be resumed from is told from what it was by names, inodes, sizes and times, and never read again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runctl_agent.records import FileEntry, FileId, signature
from runctl_agent.training.job import Train, decode_job, encode_job
from runctl_agent.training.resume import NOTHING, Resume, ResumeLost
from tests.unit.test_worker import USER


def resume_of(base: Path, *names: str) -> Resume:
    def entry(name: str) -> FileEntry:
        at = os.stat(base / name)
        return FileEntry(name, FileId(at.st_dev, at.st_ino, at.st_size, at.st_mtime_ns))

    return Resume(str(base), str(base), names, signature(map(entry, names)))


@pytest.fixture
def kept(tmp_path: Path) -> Resume:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"x")
    (tmp_path / "y").write_bytes(b"y")
    return resume_of(tmp_path, "a/x", "y")


def test_what_is_as_it_was_stands(tmp_path: Path, kept: Resume) -> None:
    kept.check()
    (tmp_path / "beside").write_text("what is not of it")
    kept.check()
    NOTHING.check()


def test_what_is_gone_or_changed_does_not(tmp_path: Path, kept: Resume) -> None:
    os.utime(tmp_path / "y", ns=(1, 1))
    with pytest.raises(ResumeLost, match="changed after it had been verified") as error:
        kept.check()
    assert error.value.exit_code == 6
    (tmp_path / "y").unlink()
    with pytest.raises(ResumeLost, match=r"No such file or directory \(.*/y\)"):
        kept.check()
    (tmp_path / "y").mkdir()
    with pytest.raises(ResumeLost, match="No regular file"):
        kept.check()


def test_it_survives_the_way_to_the_worker(kept: Resume) -> None:
    odd = Resume(kept.path, kept.base, ("\udcff", "a/x"), "s")
    for resume in (NOTHING, kept, odd):
        train = Train(USER, "/w", {}, ("x",), "log", "run", 2, "/s", "pid", "code", "", "/run", resume)
        assert decode_job(encode_job(train)) == train
