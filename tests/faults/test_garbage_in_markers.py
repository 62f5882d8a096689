"""Whatever a user puts in a marker's place: never a crash, never a hang, never believed, never shown."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from runctl_agent.training.marker_file import look_at
from runctl_agent.training.markers import Marker, Markers, MarkerSet
from tests.fakes.wrapped import Wrapped

SECRET = b"root:$6$salt$hash"


def fifo(path: Path) -> None:
    os.mkfifo(path)


def directory(path: Path) -> None:
    path.mkdir()


def link_to_itself(path: Path) -> None:
    path.symlink_to(path)


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.open(path.parent, os.O_RDONLY)
        listening.bind(f"/proc/self/fd/{here}/{path.name}")  # the path itself may be too long for a socket
        os.close(here)


def observed(wrapped: Wrapped, put: Callable[[Path], object]) -> Markers:
    markers = MarkerSet()
    markers.observe(wrapped.look(), 0.0)
    for path in (wrapped.pid_file, wrapped.exit_code_file, wrapped.complete_file):
        put(path)
    wrapped.state_dir.mkdir(exist_ok=True)
    markers.observe(wrapped.look(), 10.0)
    return markers.observe(wrapped.look(), 20.0)


@pytest.mark.parametrize("put", [fifo, directory, link_to_itself, unix_socket])
def test_what_is_no_regular_file_is_never_read(tmp_path: Path, put: Callable[[Path], None]) -> None:
    seen = observed(Wrapped(tmp_path), put)
    assert (seen.pid, seen.exit_code, seen.complete_since) == (None, None, None)
    assert len(seen.problems) == 3
    assert all("not a regular file" in problem for problem in seen.problems)


def test_no_link_is_followed(tmp_path: Path) -> None:
    wrapped = Wrapped(tmp_path)
    target = tmp_path / "target"
    target.write_text("1\n")
    seen = observed(wrapped, lambda path: path.symlink_to(target))
    assert (seen.pid, seen.exit_code, seen.complete_since) == (None, None, None)
    assert seen.problems[0] == "the pid marker is a symbolic link, not a regular file"


def test_no_link_is_followed_on_the_way(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "code").write_text("0")
    (tmp_path / "link").symlink_to("real")
    assert look_at(str(tmp_path), "real/code").body == b"0"
    assert look_at(str(tmp_path), "link/code").body == b""
    assert look_at(str(tmp_path), "link/code").problem == "can't be read: Not a directory"


@pytest.mark.parametrize("seed", range(8))
def test_random_bytes_are_malformed(tmp_path: Path, seed: int) -> None:
    body = b"\xff" + random.Random(seed).randbytes(5000)
    seen = observed(Wrapped(tmp_path), lambda path: path.write_bytes(body))
    assert not isinstance(seen.pid, int)
    assert not isinstance(seen.exit_code, int)


def test_what_stands_there_is_not_shown(tmp_path: Path) -> None:
    seen = observed(Wrapped(tmp_path), lambda path: path.write_bytes(SECRET))
    assert "salt" not in repr(seen)


def test_garbage_in_the_record_is_no_record(tmp_path: Path) -> None:
    wrapped = Wrapped(tmp_path)
    wrapped.state_dir.mkdir()
    (wrapped.state_dir / "exit-gpt2.json").write_bytes(b'{"run": "gpt2", "code": 0')
    seen = MarkerSet().observe(wrapped.look(), 0.0)
    assert not seen.record
    assert set(wrapped.look()) == set(Marker)
