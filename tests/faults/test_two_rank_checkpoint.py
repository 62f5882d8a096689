"""Two ranks write one checkpoint, each in its own time: the last part of one says nothing of the other's."""

from __future__ import annotations

from pathlib import Path

from tests.fakes.trainer_disk import TrainerDisk

FIRST_RANK = ("model.pt", "optimizer.pt", "rng_state_0.pth", "trainer_state.json")


def test_the_other_rank_is_late(tmp_path: Path) -> None:
    disk = TrainerDisk(tmp_path)
    for part in FIRST_RANK:
        disk.write(f"checkpoint-5/{part}")
    assert disk.look() == []
    disk.clock.advance(1)
    disk.write("checkpoint-5/rng_state_1.pth")
    assert disk.look() == []
    (finished,) = disk.wait()
    assert (finished.complete, len(finished.files)) == (True, 5)


def test_once_known_every_ranks_file_is_enough(tmp_path: Path) -> None:
    disk = TrainerDisk(tmp_path)
    for part in (*FIRST_RANK, "rng_state_1.pth"):
        disk.write(f"checkpoint-5/{part}")
    assert len(disk.wait()) == 1
    for part in FIRST_RANK:
        disk.write(f"checkpoint-6/{part}")
    assert disk.look() == []
    disk.write("checkpoint-7/rng_state_1.pth")
    for part in FIRST_RANK:
        disk.write(f"checkpoint-7/{part}")
    assert [f.name for f in disk.look()] == ["checkpoint-7"]
    assert [f.name for f in disk.wait()] == ["checkpoint-6"]


def test_a_rank_so_late_that_it_makes_a_second_snapshot(tmp_path: Path) -> None:
    disk = TrainerDisk(tmp_path)
    for part in FIRST_RANK:
        disk.write(f"checkpoint-5/{part}")
    assert [len(f.files) for f in disk.wait()] == [4]
    disk.write("checkpoint-5/rng_state_1.pth")
    assert [(len(f.files), f.complete) for f in disk.wait()] == [(5, True)]


def test_a_rank_still_writes_when_the_last_part_is_there(tmp_path: Path) -> None:
    disk = TrainerDisk(tmp_path)
    disk.write("checkpoint-5/model.pt")
    assert disk.look() == []
    with disk.writing("checkpoint-5/rng_state_1.pth", b"\x80\x04half"):
        for part in FIRST_RANK:
            disk.write(f"checkpoint-5/{part}")
        assert disk.wait() == []
    disk.write("checkpoint-5/rng_state_1.pth")
    assert [f.complete for f in disk.wait()] == [True]
