"""A trainer takes an old checkpoint away, file by file: what is left of it is no checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.fakes.trainer_disk import TrainerDisk

PARTS = ("config.json", "model.pt", "optimizer.pt", "trainer_state.json")


@pytest.mark.parametrize("folder", ["checkpoint-5", "mine", "global_step5"])
@pytest.mark.parametrize("order", [PARTS, PARTS[::-1]])
def test_after_it_was_finished(tmp_path: Path, folder: str, order: tuple[str, ...]) -> None:
    disk = TrainerDisk(tmp_path)
    for part in PARTS:
        disk.write(f"{folder}/{part}")
    assert len(disk.wait()) == 1
    for part in order:
        (tmp_path / folder / part).unlink()
        assert disk.wait(30, ended=True) == [], part
    shutil.rmtree(tmp_path / folder)
    assert disk.wait(30, ended=True) == []
    assert disk.settler.unfinished() == []


@pytest.mark.parametrize("folder", ["checkpoint-5", "mine"])
def test_before_it_was_finished(tmp_path: Path, folder: str) -> None:
    disk = TrainerDisk(tmp_path)
    for part in PARTS:
        disk.write(f"{folder}/{part}")
    disk.clock.advance(3600)
    for part in ("config.json", "model.pt", "trainer_state.json"):
        assert disk.look() == []
        (tmp_path / folder / part).unlink()
    for _ in range(6):
        assert disk.look(after=2) == []
    shutil.rmtree(tmp_path / folder)
    assert disk.wait(ended=True) == []


def test_training_ended_in_the_middle_of_it(tmp_path: Path) -> None:
    disk = TrainerDisk(tmp_path)
    for part in PARTS:
        disk.write(f"checkpoint-5/{part}")
    disk.clock.advance(3600)
    assert disk.look() == []
    (tmp_path / "checkpoint-5/model.pt").unlink()
    assert [f.complete for f in disk.wait(ended=True)] == [False]


def test_the_agent_comes_after_it_was_cut_short(tmp_path: Path) -> None:
    """The journal knows the whole checkpoint; what is there now has its last part, and no model."""
    disk = TrainerDisk(tmp_path)
    for folder in ("checkpoint-5", "checkpoint-6"):
        for part in PARTS:
            disk.write(f"{folder}/{part}")
    known = {f.name: f.signature for f in disk.wait()}
    (tmp_path / "checkpoint-5/model.pt").unlink()
    again = TrainerDisk(tmp_path)
    again.clock.advance(3600)
    for name, signature in known.items():
        again.settler.remember(str(tmp_path), name, signature)
    assert again.wait() == []
    assert again.why("checkpoint-5") == "model.pt is missing, which the checkpoint before it has"


def test_a_file_vanishes_between_listing_and_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = TrainerDisk(tmp_path)
    for n in range(3):
        disk.write(f"step={n}.pt")
    for part in PARTS:
        disk.write(f"checkpoint-5/{part}")
    names = disk.reader.names()
    shutil.rmtree(tmp_path / "checkpoint-5")
    (tmp_path / "step=1.pt").unlink()
    assert {name for name in names if disk.reader.read(name) is None} == {"checkpoint-5", "step=1.pt"}
