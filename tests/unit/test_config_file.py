"""Reading the run spec's file: waiting for one that is still being written, and for nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runctl_agent.config import load_document, load_spec
from runctl_agent.contract.spec import SpecPointer
from runctl_agent.errors import ConfigError
from tests.fakes.clock import FakeRuntime
from tests.unit.test_config import LEAST


class LateWriter(FakeRuntime):
    """Somebody who writes the file while the agent sleeps for the given time."""

    def __init__(self, sleeps: int, write: Callable[[], object]) -> None:
        super().__init__()
        self._sleeps = sleeps
        self._write = write

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if len(self.slept) == self._sleeps:
            self._write()


def test_a_file_is_read_and_its_folder_is_the_workdir(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + LEAST.encode())  # with a byte order mark
    runtime = FakeRuntime()
    assert load_spec(str(path), runtime).checkpoints[0].path == str(tmp_path / "checkpoints")
    assert runtime.slept == []


@pytest.mark.parametrize("half", [b"", b"run: gpt2\ndest", LEAST.encode()[:-5], "run: ä".encode()[:-1]])
def test_a_spec_that_is_still_being_written_is_read_again(tmp_path: Path, half: bytes) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(half)
    runtime = LateWriter(10, lambda: path.write_text(LEAST))
    assert load_spec(str(path), runtime).run == "gpt2"
    assert runtime.slept == [1] * 10


def test_a_spec_that_stays_broken_is_an_error_after_ten_seconds(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("run: GPT\n")
    runtime = FakeRuntime()
    with pytest.raises(ConfigError, match="'GPT' is not a run name"):
        load_spec(str(path), runtime)
    assert runtime.slept == [1] * 10


def test_a_pointer_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("spec: s3://bucket/run.yaml\n")
    runtime = FakeRuntime()
    assert load_document(str(path), runtime) == SpecPointer("s3://bucket/run.yaml")
    with pytest.raises(ConfigError, match="is no whole spec"):
        load_spec(str(path), runtime)
    assert runtime.slept == []


def unreadable(path: str) -> ConfigError:
    """The error of a file that is not waited for."""
    runtime = FakeRuntime()
    with pytest.raises(ConfigError) as caught:
        load_spec(path, runtime)
    assert runtime.slept == []
    assert "--config" in caught.value.mend
    return caught.value


def test_a_missing_file_is_an_error_at_once(tmp_path: Path) -> None:
    assert "No such file" in unreadable(str(tmp_path / "run.yaml")).why
    assert "null byte" in unreadable("a\0b").why


def test_a_fifo_does_not_block_and_a_directory_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        assert unreadable(str(path)).why == "it is not a regular file"


def test_a_file_without_end_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    with open(path, "wb") as file:
        file.truncate(2**40)
    assert "larger than" in unreadable(str(path)).why


def test_bytes_that_are_no_utf_8_are_named_by_their_line(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(b"run: a\nproject: \xe4\n")
    with pytest.raises(ConfigError, match="line 2: not UTF-8"):
        load_spec(str(path), FakeRuntime())
