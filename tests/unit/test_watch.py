"""Real inotify: what the trainer does becomes hints."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from watchdog.observers.inotify_c import InotifyFD, Mask, Watch

from runctl_agent.disk.watch import DiskWatcher, Watcher
from runctl_agent.records import Change, Hinted
from runctl_agent.runtime import ThreadRuntime
from tests.fakes.events import Heard

NEVER = 1e6


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "checkpoints"
    made.mkdir()
    return made


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def watcher(root: Path, heard: Heard) -> Iterator[DiskWatcher]:
    watcher = DiskWatcher(ThreadRuntime(), heard, rescan=NEVER, poll=NEVER, tick=0.05)
    watcher.watch(str(root))
    watcher.start()
    heard.forget()
    yield watcher
    watcher.stop()


def test_is_a_watcher(watcher: Watcher) -> None:
    assert watcher.problems() == []


def test_every_root_is_read_as_a_whole_at_start(root: Path, heard: Heard) -> None:
    watcher = DiskWatcher(ThreadRuntime(), heard)
    watcher.watch(str(root))
    watcher.start()
    watcher.stop()
    assert heard.changes == [Change(str(root), "", Hinted.CHANGED)]


def test_a_written_file_is_told_when_it_is_closed_and_not_at_each_write(root: Path, heard: Heard, watcher: DiskWatcher) -> None:
    with open(root / "a.pt", "wb", buffering=0) as file:
        for _ in range(1000):
            file.write(b"x")
        heard.wait_for(("a.pt", Hinted.CHANGED))
        assert ("a.pt", Hinted.CLOSED) not in heard.heard()
    heard.wait_for(("a.pt", Hinted.CLOSED))
    assert heard.changes == [Change(str(root), "a.pt", Hinted.CHANGED), Change(str(root), "a.pt", Hinted.CLOSED)]


def test_a_file_only_read_is_not_told(root: Path, heard: Heard, watcher: DiskWatcher) -> None:
    (root / "a.pt").write_bytes(b"x")
    heard.wait_for(("a.pt", Hinted.CLOSED))
    heard.forget()
    (root / "a.pt").read_bytes()
    (root / "b.pt").write_bytes(b"x")
    heard.wait_for(("b.pt", Hinted.CLOSED))
    assert "a.pt" not in {change.path for change in heard.changes}


def test_a_rename_arrives(root: Path, heard: Heard, watcher: DiskWatcher) -> None:
    (root / "a.tmp").write_bytes(b"x")
    (root / "a.tmp").replace(root / "a.pt")
    heard.wait_for(("a.tmp", Hinted.CHANGED), ("a.pt", Hinted.ARRIVED))


def test_a_rename_from_elsewhere_arrives(root: Path, tmp_path: Path, heard: Heard, watcher: DiskWatcher) -> None:
    (tmp_path / "a.tmp").write_bytes(b"x")
    (tmp_path / "a.tmp").replace(root / "a.pt")
    heard.wait_for(("a.pt", Hinted.ARRIVED))
    assert {change.path for change in heard.changes} == {"a.pt"}


def test_a_rename_to_elsewhere_and_a_deletion_are_told(root: Path, tmp_path: Path, heard: Heard, watcher: DiskWatcher) -> None:
    (root / "a.pt").write_bytes(b"x")
    (root / "b.pt").write_bytes(b"x")
    heard.wait_for(("b.pt", Hinted.CLOSED))
    heard.forget()
    (root / "a.pt").replace(tmp_path / "a.pt")
    (root / "b.pt").unlink()
    heard.wait_for(("a.pt", Hinted.CHANGED), ("b.pt", Hinted.CHANGED))


def test_a_new_directory_is_told_and_watched(root: Path, heard: Heard, watcher: DiskWatcher) -> None:
    (root / "checkpoint-1" / "deep").mkdir(parents=True)
    heard.wait_for(("checkpoint-1", Hinted.CHANGED), ("checkpoint-1/deep", Hinted.CHANGED))
    (root / "checkpoint-1" / "deep" / "x.bin").write_bytes(b"x")
    heard.wait_for(("checkpoint-1/deep/x.bin", Hinted.CLOSED))


def test_a_tree_that_grows_while_it_is_being_watched(root: Path, heard: Heard, watcher: DiskWatcher) -> None:
    for n in range(50):
        (root / f"checkpoint-{n}" / "a" / "b").mkdir(parents=True)
    heard.wait_for(*((f"checkpoint-{n}/a/b", Hinted.CHANGED) for n in range(50)))
    for n in range(50):
        (root / f"checkpoint-{n}" / "a" / "b" / "x.bin").write_bytes(b"x")
    heard.wait_for(*((f"checkpoint-{n}/a/b/x.bin", Hinted.CLOSED) for n in range(50)))
    assert ("", Hinted.CHANGED) not in heard.heard(), "the watch lived through it"


def test_a_directory_moved_out_and_in_again(root: Path, tmp_path: Path, heard: Heard, watcher: DiskWatcher) -> None:
    (root / "one" / "deep").mkdir(parents=True)
    heard.wait_for(("one/deep", Hinted.CHANGED))
    heard.forget()
    (root / "one").rename(tmp_path / "away")
    heard.wait_for(("one", Hinted.CHANGED))
    (tmp_path / "away").rename(root / "two")
    heard.wait_for(("two", Hinted.ARRIVED))
    (root / "two" / "deep" / "x.bin").write_bytes(b"x")
    heard.wait_for(("two/deep/x.bin", Hinted.CLOSED))
    assert ("", Hinted.CHANGED) not in heard.heard(), "the watch lived through it"


def test_a_directory_renamed_into_place_arrives_and_is_watched(root: Path, heard: Heard, watcher: DiskWatcher) -> None:
    (root / "tmp-checkpoint-1").mkdir()
    heard.wait_for(("tmp-checkpoint-1", Hinted.CHANGED))
    (root / "tmp-checkpoint-1").rename(root / "checkpoint-1")
    heard.wait_for(("checkpoint-1", Hinted.ARRIVED))
    (root / "checkpoint-1" / "late.json").write_bytes(b"{}")
    heard.wait_for(("checkpoint-1/late.json", Hinted.CLOSED))


def test_a_root_that_is_a_link_is_watched_under_its_own_name(root: Path, tmp_path: Path, heard: Heard) -> None:
    (tmp_path / "link").symlink_to(root)
    watcher = DiskWatcher(ThreadRuntime(), heard, rescan=NEVER, tick=0.05)
    watcher.watch(str(tmp_path / "link"))
    watcher.start()
    (root / "a.pt").write_bytes(b"x")
    heard.wait_for(("a.pt", Hinted.CLOSED))
    watcher.stop()
    assert {change.root for change in heard.changes} == {str(tmp_path / "link")}


def test_names_that_are_not_utf8(root: Path, heard: Heard, watcher: DiskWatcher) -> None:
    name = os.fsdecode(b"\xff\xfe" + b"n" * 250 + b".pt")
    with open(os.path.join(root, name), "wb"):
        pass
    heard.wait_for((name, Hinted.CLOSED))


def test_links_below_a_root_are_not_followed(root: Path, tmp_path: Path, heard: Heard) -> None:
    (tmp_path / "elsewhere").mkdir()
    (root / "link").symlink_to(tmp_path / "elsewhere")
    watcher = DiskWatcher(ThreadRuntime(), heard, rescan=NEVER, tick=0.05)
    watcher.watch(str(root))
    watcher.start()
    (tmp_path / "elsewhere" / "a.pt").write_bytes(b"x")
    (root / "b.pt").write_bytes(b"x")
    heard.wait_for(("b.pt", Hinted.CLOSED))
    watcher.stop()
    assert not [change for change in heard.changes if "a.pt" in change.path]


def test_nothing_is_told_after_stop_and_no_thread_is_left(root: Path, heard: Heard) -> None:
    before = set(threading.enumerate())
    watcher = DiskWatcher(ThreadRuntime(), heard, tick=0.05)
    watcher.watch(str(root))
    watcher.start()
    assert set(threading.enumerate()) > before
    watcher.stop()
    heard.forget()
    (root / "a.pt").write_bytes(b"x")
    assert set(threading.enumerate()) <= before
    assert heard.changes == []


def test_starting_and_stopping_leaves_no_descriptor(root: Path, heard: Heard) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        watcher = DiskWatcher(ThreadRuntime(), heard, tick=0.05)
        watcher.watch(str(root))
        watcher.start()
        watcher.stop()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_sink_that_raises_ends_nothing(root: Path) -> None:
    heard = Heard()
    rude = {"a.pt"}

    def sink(change: Change) -> None:
        heard(change)
        if change.path in rude:
            raise ValueError("no room")

    watcher = DiskWatcher(ThreadRuntime(), sink, rescan=NEVER, tick=0.05)
    watcher.watch(str(root))
    watcher.start()
    heard.forget()
    (root / "a.pt").write_bytes(b"x")
    heard.wait_for(("a.pt", Hinted.CLOSED), ("", Hinted.CHANGED))
    (root / "b.pt").write_bytes(b"x")
    heard.wait_for(("b.pt", Hinted.CLOSED))
    watcher.stop()


def test_too_few_watches_for_a_directory_below_is_a_problem(root: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "deep").mkdir()
    make = InotifyFD._get_or_create_watch

    def refuse(self: InotifyFD, path: bytes, mask: Mask) -> Watch:
        if path.endswith(b"deep"):
            raise OSError(errno.ENOSPC, "inotify watch limit reached")
        return make(self, path, mask)

    monkeypatch.setattr(InotifyFD, "_get_or_create_watch", refuse)
    watcher = DiskWatcher(ThreadRuntime(), heard, rescan=NEVER, poll=0.05, tick=0.05)
    watcher.watch(str(root))
    watcher.start()
    heard.forget()
    heard.wait_for(("", Hinted.CHANGED))
    (root / "a.pt").write_bytes(b"x")
    heard.wait_for(("a.pt", Hinted.CLOSED))
    (problem,) = watcher.problems()
    watcher.stop()
    assert "sysctl fs.inotify.max_user_watches" in problem
