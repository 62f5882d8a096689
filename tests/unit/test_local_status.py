from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from runctl_agent.publish import write_atomically


def test_the_local_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    umask = os.umask(0o077)
    try:
        write_atomically(str(path), b"one")
        before = path.stat().st_ino
        write_atomically(str(path), b"two")
    finally:
        os.umask(umask)
    assert path.read_bytes() == b"two"
    assert path.stat().st_ino != before
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [p.name for p in tmp_path.iterdir()] == ["status.json"]


def test_the_local_file_is_never_written_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (tmp_path / "status.json.tmp").symlink_to(victim)
    with pytest.raises(OSError, match=r"status\.json\.tmp"):
        write_atomically(str(tmp_path / "status.json"), b"theirs")
    assert victim.read_bytes() == b"mine"


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "status.json").mkdir()
    with pytest.raises(OSError, match=r"status\.json"):
        write_atomically(str(tmp_path / "status.json"), b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["status.json"]
