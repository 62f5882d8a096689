"""When the first half of the way says that nothing is left to do, and what it takes back."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runctl_agent.contract.spec import Watched
from runctl_agent.disk.lock import Locks
from runctl_agent.disk.read import Reader
from runctl_agent.disk.settle import Settler
from runctl_agent.disk.stage import Stager
from runctl_agent.errors import JournalError
from runctl_agent.gather import Gatherer
from runctl_agent.intake import TOLD, Intake
from runctl_agent.records import Change, Hinted, Staged
from runctl_agent.store.journal import HeldEpoch, Journal
from tests.fakes.clock import FakeRuntime


class ShortDisk(Stager):
    """A disk whose free space the test decides: `short` bytes are missing until as many have been freed."""

    short = 0
    inodes = True

    def short_by(self, path: str) -> int:
        return self.short

    def out_of_inodes(self, path: str) -> bool:
        return not self.inodes

    def frees(self, staged: Staged) -> int:
        return staged.finished.size

    def release(self, staged: Staged) -> None:
        super().release(staged)
        self.short = max(0, self.short - staged.finished.size)


@dataclass
class Bench:
    root: Path
    runtime: FakeRuntime
    journal: Journal
    stager: ShortDisk
    locks: Locks
    gatherer: Gatherer

    def save(self, name: str, body: object = None, *, ago: float = 60.0) -> Path:
        """A whole pickle, finished a minute ago."""
        path = self.root / name
        path.write_bytes(pickle.dumps(body or name))
        seconds = self.runtime.now() - ago
        os.utime(path, (seconds, seconds))
        return path

    def hint(self, name: str) -> None:
        self.gatherer.sink(Change(str(self.root), name, Hinted.CHANGED))

    def turns(self, count: int = 5) -> None:
        for _ in range(count):
            self.gatherer.turn(0.5)

    def pending(self) -> list[str]:
        return sorted(row.staged.finished.name for row in self.journal.pending().rows)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    root = tmp_path / "work" / "checkpoints"
    root.mkdir(parents=True)
    (tmp_path / "state").mkdir()
    runtime = FakeRuntime()
    journal = Journal(str(tmp_path / "state" / "journal.db"), owner="this", alive=lambda owner: False, lock=runtime.lock())
    stager = ShortDisk(str(tmp_path / "state"), keep_free=0.0, roots=[str(root)])
    locks = Locks(str(tmp_path / "locks"))
    intake = Intake(runtime, [str(root)], stager, locks, journal, 2.0)
    readers = {str(root): Reader(Watched(str(root)))}
    gatherer = Gatherer(runtime, readers, Settler(2.0), intake, journal, runtime.event(), settle=2.0)
    yield Bench(root, runtime, journal, stager, locks, gatherer)
    journal.close()


def test_what_is_finished_is_journaled_and_then_it_is_quiet(bench: Bench) -> None:
    bench.save("a.pt")
    bench.gatherer.recover()
    bench.turns()
    assert bench.pending() == ["a.pt"]
    assert bench.gatherer.quiet


def test_what_waits_for_its_identity_to_be_believed_is_not_journaled_yet(bench: Bench) -> None:
    """A flush that is asked a moment after a save has to wait for it."""
    bench.save("a.pt", ago=0.004)
    bench.save("b.pt", ago=0.003)
    bench.gatherer.recover()
    assert not bench.gatherer.journaled
    bench.turns(2)
    assert bench.gatherer.journaled
    assert bench.pending() == ["a.pt", "b.pt"]


def test_what_a_sender_drops_is_not_quiet_until_it_is_read_and_staged_again(bench: Bench) -> None:
    bench.save("a.pt")
    bench.gatherer.recover()
    row = bench.journal.pending().rows[0]
    bench.journal.drop(row.id, "it changed")
    bench.gatherer.forget(str(bench.root), "a.pt", rewritten=True)
    assert not bench.gatherer.quiet
    bench.turns()
    assert bench.pending() == ["a.pt"]
    assert bench.gatherer.quiet


def test_a_file_that_is_no_checkpoint_and_keeps_changing_holds_nothing_up(bench: Bench) -> None:
    (bench.root / "gpu.log").write_text("42 C")
    bench.gatherer.recover()
    bench.hint("gpu.log")
    bench.turns(1)
    assert bench.gatherer.quiet


def test_a_watched_directory_that_went_is_told_once_and_holds_nothing_up(bench: Bench) -> None:
    bench.save("a.pt")
    bench.gatherer.recover()
    shutil.rmtree(bench.root)
    bench.hint("a.pt")
    bench.hint("")
    bench.turns()
    assert bench.pending() == ["a.pt"]
    assert bench.gatherer.quiet
    assert len(bench.gatherer.problems()) == 1
    assert "does not exist" in bench.gatherer.problems()[0]


def test_what_waits_for_its_lock_is_in_the_backlog_that_an_epoch_finds(bench: Bench) -> None:
    bench.save("a.pt")
    with bench.locks.acquire(str(bench.root), "a.pt", "test", 0.0) as held:  # type: ignore[union-attr]
        (Path(held.path)).write_text('{"pid": 1, "boot_id": "b", "since": 0.0, "purpose": "a stranger"}')
        bench.gatherer.recover()
        assert [name for _, name, _ in bench.gatherer.backlog] == ["a.pt"]
        assert not bench.gatherer.quiet
        bench.turns(10)  # longer than the settle time: bypassed
    assert bench.pending() == ["a.pt"]
    assert bench.gatherer.backlog == ()


def test_what_was_let_go_comes_back_once_there_is_room_and_is_told_for_a_while(bench: Bench) -> None:
    for number in range(3):
        path = bench.save(f"model_step_{number}.pt")
        os.utime(path, (bench.runtime.now() - 60 + number,) * 2)
    bench.gatherer.recover()
    bench.journal.take_epoch(HeldEpoch(1, "n", 0, 0.0), [])
    assert len(bench.pending()) == 3
    bench.stager.short = 1
    bench.gatherer.turn(0.0)
    assert bench.pending() == ["model_step_1.pt", "model_step_2.pt"]
    assert "model_step_0.pt was let go" in bench.gatherer.disk_full
    bench.turns()
    assert bench.pending() == ["model_step_0.pt", "model_step_1.pt", "model_step_2.pt"]
    assert bench.gatherer.quiet
    assert bench.gatherer.disk_full
    bench.runtime.advance(TOLD)
    bench.turns(1)
    assert bench.gatherer.disk_full == ""


def test_a_disk_without_an_inode_is_full_and_nothing_is_let_go_for_it(bench: Bench) -> None:
    for number in range(3):
        bench.save(f"model_step_{number}.pt")
    bench.gatherer.recover()
    bench.stager.inodes = False
    bench.turns(1)
    assert bench.gatherer.disk_full == f"{bench.root}: not one inode is left on its disk: no file can be made there"
    assert len(bench.pending()) == 3
    bench.stager.inodes = True
    bench.turns(1)
    assert bench.gatherer.disk_full == ""


def test_the_newest_is_never_let_go(bench: Bench) -> None:
    bench.save("a.pt")
    bench.gatherer.recover()
    bench.stager.short = 1000
    bench.turns(3)
    assert bench.pending() == ["a.pt"]
    assert "nothing superseded is staged" in bench.gatherer.disk_full
    assert bench.gatherer.quiet


def test_a_journal_that_can_t_be_written_ends_nothing_and_loses_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(staged: Staged, now: float) -> None:
        raise JournalError("the journal can't be written", "database or disk is full", "free space")

    bench.save("a.pt")
    with monkeypatch.context() as patched:
        patched.setattr(bench.journal, "add", full)
        bench.gatherer.recover()
        assert not bench.gatherer.quiet
        assert "disk is full" in bench.gatherer.problems()[0]
        assert [list(folder.iterdir()) for folder in bench.root.parent.parent.rglob("staging")] == [[]]
    bench.turns(20)
    assert bench.pending() == ["a.pt"]
    assert bench.gatherer.problems() == []


def test_a_reading_that_is_asked_for_during_another_is_not_forgotten(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long copy is being staged; the training ends meanwhile, and the hint of its last checkpoint never comes."""
    gatherer = bench.gatherer
    gatherer.recover()
    bench.turns()
    staged = gatherer._stage

    def ends_meanwhile() -> None:
        staged()
        bench.save("last.pt")
        gatherer.rescan()

    with monkeypatch.context() as patched:
        patched.setattr(gatherer, "_stage", ends_meanwhile)
        gatherer.rescan()
        gatherer.turn(0.5)
    assert not gatherer.quiet
    bench.turns()
    assert "last.pt" in bench.pending()
