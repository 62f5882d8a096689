"""When a root is read as a whole, and when it is watched anew; by a clock of the test's own."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from runctl_agent.disk.mounts import Mount
from runctl_agent.disk.roots import Root
from runctl_agent.disk.watch import DiskWatcher
from runctl_agent.records import Hinted
from tests.fakes.clock import FakeRuntime
from tests.fakes.events import EventsMaker, Heard


class Watched:
    """A root under test: `wholes_at` are the times at which it was to be read as a whole."""

    def __init__(self, path: Path, *, type_: str = "ext4", many: int = 100) -> None:
        self.events = EventsMaker()
        self.heard = Heard()
        self.root = Root(
            str(path),
            self.heard,
            self.events,
            rescan=30,
            rescan_many=300,
            many=many,
            poll=5,
            mount=lambda _: Mount(1, "/", type_),
        )

    def wholes_at(self, start: float, end: float) -> list[float]:
        times: list[float] = []
        now = start
        while now < end:
            self.heard.forget()
            self.root.check(now)
            times += [now] * len(self.heard.changes)
            assert self.heard.heard() <= {("", Hinted.CHANGED)}
            now += 1
        return times


def test_every_rescan(tmp_path: Path) -> None:
    assert Watched(tmp_path).wholes_at(0, 95) == [0, 30, 60, 90]


def test_more_seldom_with_many_files(tmp_path: Path) -> None:
    for n in range(4):
        (tmp_path / f"{n}.pt").touch()
    assert Watched(tmp_path, many=3).wholes_at(0, 601) == [0, 300, 600]
    assert Watched(tmp_path, many=6).wholes_at(0, 301) == [0, 200], "two thirds of many: two thirds of the time"
    assert Watched(tmp_path, many=40).wholes_at(0, 31) == [0, 30]


def test_a_network_file_system_is_polled_and_not_watched(tmp_path: Path) -> None:
    watched = Watched(tmp_path, type_="nfs4")
    assert watched.wholes_at(0, 16) == [0, 5, 10, 15]
    assert watched.events.made == []
    assert watched.root.problems() == []


@pytest.mark.parametrize(
    ("number", "mend"),
    [
        (errno.ENOSPC, "fs.inotify.max_user_watches"),
        (errno.EMFILE, "fs.inotify.max_user_instances"),
        (errno.EACCES, "run it as root"),
    ],
)
def test_what_can_not_be_watched_is_polled_and_tried_again(tmp_path: Path, number: int, mend: str) -> None:
    watched = Watched(tmp_path)
    watched.events.refusal = OSError(number, "refused")
    assert watched.wholes_at(0, 11) == [0, 5, 10]
    (problem,) = watched.root.problems()
    assert mend in problem
    assert len(watched.events.made) == 1

    watched.events.refusal = None
    assert watched.wholes_at(30, 61) == [30, 60]
    assert watched.root.problems() == []
    assert len(watched.events.made) == 2


def test_watches_that_run_out_later_are_polled_for(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    assert watched.wholes_at(0, 3) == [0]
    watched.events.made[0].starved = True
    assert watched.wholes_at(3, 10) == [3, 8]
    assert "fs.inotify.max_user_watches" in watched.root.problems()[0]
    assert watched.wholes_at(30, 62) == [30, 60]
    assert watched.root.problems() == []


def disk(monkeypatch: pytest.MonkeyPatch, *, read_only: bool) -> None:
    found = os.statvfs_result((4096, 4096, 9, 9, 9, 9, 9, 9, os.ST_RDONLY if read_only else 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: found)


def test_a_disk_that_becomes_read_only_is_told_until_it_is_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(tmp_path)
    disk(monkeypatch, read_only=False)
    watched.root.check(0)
    assert watched.root.problems() == []
    disk(monkeypatch, read_only=True)
    watched.root.check(1)
    (problem,) = watched.root.problems()
    assert problem.startswith(f"{tmp_path} can't be written to any more: its file system has become read-only; mend: ")
    disk(monkeypatch, read_only=False)
    watched.root.check(2)
    assert watched.root.problems() == []


def test_a_disk_that_was_never_writable_is_as_somebody_wanted_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(tmp_path)
    disk(monkeypatch, read_only=True)
    watched.root.check(0)
    watched.root.check(1)
    assert watched.root.problems() == []


def test_dead_events_are_replaced_at_once(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.root.check(0)
    watched.events.made[0].alive = False
    assert watched.wholes_at(1, 5) == [1]
    assert watched.events.made[0].stopped
    assert watched.events.made[1].alive


def test_lost_events_mean_the_whole_root_twice(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.root.check(0)
    watched.events.made[0].lost()
    assert watched.wholes_at(1, 10) == [1, 2]


def test_a_root_that_comes_later(tmp_path: Path) -> None:
    watched = Watched(tmp_path / "later")
    assert watched.wholes_at(0, 100) == []
    assert "does not exist" in watched.root.problems()[0]
    (tmp_path / "later").mkdir()
    assert watched.root.problems() == [], "also before anybody looked after it"
    assert watched.wholes_at(100, 102) == [100]
    assert watched.root.problems() == []


def test_a_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    watcher = DiskWatcher(FakeRuntime(), Heard())
    watcher.watch(str(tmp_path / "file"))
    watcher.check()
    assert "make it a directory" in watcher.problems()[0]


def test_a_root_that_went_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    watched = Watched(tmp_path / "root")
    watched.root.check(0)
    (tmp_path / "root").rmdir()
    assert watched.wholes_at(1, 100) == [1]
    assert watched.events.made[0].stopped


def test_an_event_outside_the_root_is_not_told(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.root.check(0)
    watched.heard.forget()
    watched.events.made[0].told(str(tmp_path) + "-2/x", Hinted.CLOSED)
    watched.events.made[0].told("", Hinted.CHANGED)
    assert watched.heard.changes == []
    watched.events.made[0].told(str(tmp_path), Hinted.CHANGED)
    watched.events.made[0].told(str(tmp_path / "x"), Hinted.CLOSED)
    assert [(c.path, c.what) for c in watched.heard.changes] == [("", Hinted.CHANGED), ("x", Hinted.CLOSED)]


def test_the_same_root_is_watched_once(tmp_path: Path) -> None:
    heard, events = Heard(), EventsMaker()
    watcher = DiskWatcher(FakeRuntime(), heard, events=events)
    watcher.watch(str(tmp_path))
    watcher.watch(str(tmp_path))
    watcher.check()
    assert len(events.made) == 1
