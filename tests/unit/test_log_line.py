from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from runctl_agent.training.log_line import LogLine


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "out" / "training.log"


def watch(log: Path, *, begins_at: int | None = None) -> LogLine:
    log.parent.mkdir(exist_ok=True)
    return LogLine("out/training.log", "^done$", base=str(log.parent.parent), begins_at=begins_at)


def append(log: Path, text: str) -> None:
    with log.open("a") as stream:
        stream.write(text)


def test_what_stands_there_at_the_first_look_does_not_count(log: Path) -> None:
    line = watch(log)
    append(log, "done\n")
    assert not line.found()
    append(log, "more\n")
    assert not line.found()
    append(log, "done\n")
    assert line.found()
    assert (line.begins_at, line.problem) == (5, "")


def test_a_log_that_is_not_there_yet_counts_from_its_start(log: Path) -> None:
    line = watch(log)
    assert not line.found()
    assert (line.begins_at, line.problem) == (0, "")
    append(log, "done\n")
    assert line.found()


def test_one_that_was_cut_counts_from_its_start(log: Path) -> None:
    line = watch(log)
    append(log, "started long ago\n")
    assert not line.found()
    log.write_text("done\n")
    assert line.found()


def test_no_directory_yet_is_no_log_yet(tmp_path: Path) -> None:
    line = LogLine("out/training.log", "^done$", base=str(tmp_path))
    assert not line.found()
    assert (line.begins_at, line.problem) == (0, "")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.EIO])
def test_a_log_that_cant_be_read_stays_undecided_and_is_told(log: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    line = watch(log)
    append(log, "done\n")
    real = os.open

    def refuse(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == "training.log" or str(path).endswith("/training.log"):
            raise OSError(number, os.strerror(number))
        return real(path, flags, mode, dir_fd=dir_fd)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        assert not line.found()
        assert line.begins_at is None
        assert os.strerror(number) in line.problem
        assert "training.log" in line.problem
    assert not line.found(), "what stood there before it could be read does not count"
    assert line.problem == ""
    append(log, "more\ndone\n")
    assert line.found()


def test_a_read_that_fails_is_told_and_not_raised(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = watch(log, begins_at=0)
    append(log, "done\n")

    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "pread", fail)
        assert not line.found()
        assert "Input/output" in line.problem
    assert line.found(), "it is read again"
    assert line.problem == ""


def test_no_link_is_followed_below_the_working_directory(log: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "training.log").write_text("done\n")
    log.parent.symlink_to(tmp_path / "elsewhere")
    line = LogLine("out/training.log", "^done$", base=str(tmp_path), begins_at=0)
    assert not line.found()
    assert line.problem
    log.parent.unlink()
    log.parent.mkdir()
    log.symlink_to(tmp_path / "elsewhere" / "training.log")
    assert not line.found()
    assert line.problem


@pytest.mark.parametrize("kind", ["fifo", "directory"])
def test_what_is_no_file_is_told(log: Path, kind: str) -> None:
    line = watch(log)
    if kind == "fifo":
        os.mkfifo(log)
    else:
        log.mkdir()
    assert not line.found()
    assert (line.begins_at, "not a regular file" in line.problem) == (None, True)


def test_an_absolute_path_is_taken_as_it_is(log: Path, tmp_path: Path) -> None:
    log.parent.mkdir()
    append(log, "done\n")
    assert LogLine(str(log), "^done$", base="/nowhere", begins_at=0).found()
    assert LogLine(str(log), "^done$", begins_at=0).found()


def test_without_a_pattern_nothing_is_read(log: Path) -> None:
    line = LogLine("\0", "", base=str(log))
    assert not line.found()
    assert (line.begins_at, line.problem) == (None, "")


def test_no_descriptor_is_left(log: Path) -> None:
    line = watch(log)
    before = len(os.listdir("/proc/self/fd"))
    line.found()
    append(log, "more\n")
    line.found()
    log.unlink()
    log.mkdir()
    line.found()
    assert len(os.listdir("/proc/self/fd")) == before
