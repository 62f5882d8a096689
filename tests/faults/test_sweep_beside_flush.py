"""The daemon starts and sweeps while a flush beside it stages: what is being staged is never swept away."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runctl_agent.disk.stage import Stager
from runctl_agent.errors import SourceChanged
from tests.fakes.checkpoints import finished, write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "run" / "checkpoints"
    made.mkdir(parents=True)
    (tmp_path / "state").mkdir()
    write(made / "last.pt", b"x")
    return made


def stager(tmp_path: Path, root: Path) -> Stager:
    return Stager(str(tmp_path / "state"), keep_free=0, roots=[str(root)], superuser=False)


def test_what_is_not_in_the_journal_yet_is_left(tmp_path: Path, root: Path) -> None:
    flush, daemon = stager(tmp_path, root), stager(tmp_path, root)
    staged = flush.stage(finished(root, "last.pt"), copy=False, label="n")
    assert daemon.sweep(set) == []
    flush.verify(staged)
    flush.journaled(staged)
    assert daemon.sweep(lambda: {staged.directory}) == []
    assert daemon.sweep(set) == [staged.directory]


def test_what_is_journaled_between_the_listing_and_the_removal_is_left(tmp_path: Path, root: Path) -> None:
    flush, daemon = stager(tmp_path, root), stager(tmp_path, root)
    staged = flush.stage(finished(root, "last.pt"), copy=False, label="n")
    asked: list[set[str]] = []

    def known() -> set[str]:
        asked.append(set() if not asked else {staged.directory})
        flush.journaled(staged)
        return asked[-1]

    assert daemon.sweep(known) == []
    assert len(asked) > 1
    flush.verify(staged)


def test_what_is_staged_after_the_listing_is_known_when_the_journal_is_asked(tmp_path: Path, root: Path) -> None:
    flush, daemon = stager(tmp_path, root), stager(tmp_path, root)
    orphan = flush.stage(finished(root, "last.pt"), copy=False, label="orphan")
    flush.journaled(orphan)
    made: list[str] = []

    def known() -> set[str]:
        if not made:
            staged = flush.stage(finished(root, "last.pt"), copy=False, label="late")
            made.append(staged.directory)
            flush.journaled(staged)
        return set(made)

    assert daemon.sweep(known) == [orphan.directory]
    assert os.listdir(tmp_path / "state" / "staging") == ["late"]


def test_what_a_dead_flush_left_is_swept(tmp_path: Path, root: Path) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            stager(tmp_path, root).stage(finished(root, "last.pt"), copy=False, label="n")
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert stager(tmp_path, root).sweep(set) == [str(tmp_path / "state" / "staging" / "n")]


def test_a_snapshot_that_failed_or_was_let_go_holds_nothing(tmp_path: Path, root: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    flush = stager(tmp_path, root)
    gone = finished(root, "last.pt")
    staged = flush.stage(gone, copy=False, label="n")
    flush.release(staged)
    (root / "last.pt").unlink()
    with pytest.raises(SourceChanged):
        flush.stage(gone, copy=False, label="again")
    flush.journaled(staged)
    assert len(os.listdir("/proc/self/fd")) == before


def test_at_most_one_is_guarded_at_a_time(tmp_path: Path, root: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    flush, daemon = stager(tmp_path, root), stager(tmp_path, root)
    first = flush.stage(finished(root, "last.pt"), copy=False, label="first")
    second = flush.stage(finished(root, "last.pt"), copy=False, label="second")
    assert len(os.listdir("/proc/self/fd")) == before + 1
    flush.journaled(first)
    assert daemon.sweep(set) == [first.directory]
    flush.journaled(second)
    assert len(os.listdir("/proc/self/fd")) == before
