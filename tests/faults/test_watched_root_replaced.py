"""The watched directory is removed, moved away, or made again, while it is watched."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from runctl_agent.disk.watch import DiskWatcher
from runctl_agent.records import Hinted
from runctl_agent.runtime import ThreadRuntime
from tests.fakes.events import Heard

WHOLE = ("", Hinted.CHANGED)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    made.mkdir()
    return made


@pytest.fixture
def heard(root: Path) -> Iterator[Heard]:
    heard = Heard()
    watcher = DiskWatcher(ThreadRuntime(), heard, rescan=1e6, poll=1e6, tick=0.02)
    watcher.watch(str(root))
    watcher.start()
    heard.forget()
    yield heard
    watcher.stop()


def assert_nothing_is_missed(root: Path, heard: Heard) -> None:
    """Each new file is told, or the whole root is after it, until files are told again."""
    for n in range(100):
        heard.forget()
        (root / f"probe-{n}.pt").write_bytes(b"x")
        closed = (f"probe-{n}.pt", Hinted.CLOSED)
        if closed in heard.wait_for_any(closed, WHOLE):
            return
    raise AssertionError("files are not told again")


def test_removed_and_made_again(root: Path, heard: Heard) -> None:
    root.rmdir()
    heard.wait_for(WHOLE)
    root.mkdir()
    assert_nothing_is_missed(root, heard)


def test_moved_away_and_another_in_its_place(root: Path, tmp_path: Path, heard: Heard) -> None:
    root.rename(tmp_path / "away")
    root.mkdir()
    assert_nothing_is_missed(root, heard)
    heard.forget()
    (tmp_path / "away" / "old.pt").write_bytes(b"x")
    (root / "newer.pt").write_bytes(b"x")
    heard.wait_for(("newer.pt", Hinted.CLOSED))
    assert "old.pt" not in {change.path for change in heard.changes}


def test_a_link_that_is_turned_elsewhere(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    link = tmp_path / "link"
    link.symlink_to("one")
    heard = Heard()
    watcher = DiskWatcher(ThreadRuntime(), heard, rescan=1e6, tick=0.02)
    watcher.watch(str(link))
    watcher.start()
    heard.forget()
    link.unlink()
    link.symlink_to("two")
    assert_nothing_is_missed(tmp_path / "two", heard)
    watcher.stop()


def test_a_tree_that_is_removed_under_the_watch(root: Path, heard: Heard) -> None:
    for n in range(20):
        (root / f"checkpoint-{n}" / "deep").mkdir(parents=True)
        (root / f"checkpoint-{n}" / "deep" / "x.bin").write_bytes(b"x")
    shutil.rmtree(root)
    root.mkdir()
    assert_nothing_is_missed(root, heard)
