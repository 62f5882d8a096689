"""A checkpoint is written again under its old name: what is new and what is old must never be taken for one."""

from __future__ import annotations

import os
from pathlib import Path

from tests.fakes.trainer_disk import TrainerDisk

PARTS = ("model.pt", "optimizer.pt", "rng_state.pth", "trainer_state.json")


def save(disk: TrainerDisk, *parts: str) -> None:
    for part in parts:
        disk.write(f"checkpoint-5/{part}")
        disk.clock.advance(0.1)


def test_a_trainer_saves_the_same_step_again(tmp_path: Path) -> None:
    disk = TrainerDisk(tmp_path)
    save(disk, *PARTS)
    (first,) = disk.look()
    for part in PARTS[:-1]:
        save(disk, part)
        assert disk.wait() == [], part
        assert disk.why("checkpoint-5").startswith("trainer_state.json is older")
    save(disk, PARTS[-1])
    (second,) = disk.look()
    assert second.complete
    assert second.signature != first.signature
    assert disk.settler.rewritten(str(tmp_path), "checkpoint-5")


def test_the_agent_comes_in_the_middle_of_it(tmp_path: Path) -> None:
    disk = TrainerDisk(tmp_path)
    save(disk, *PARTS)
    save(disk, "model.pt")
    assert disk.wait() == []
    save(disk, "optimizer.pt", "rng_state.pth")
    assert disk.wait() == []
    save(disk, "trainer_state.json")
    assert [f.complete for f in disk.look()] == [True]


def test_training_ends_in_the_middle_of_it(tmp_path: Path) -> None:
    disk = TrainerDisk(tmp_path)
    save(disk, *PARTS)
    assert [f.complete for f in disk.look()] == [True]
    save(disk, "model.pt")
    assert [f.complete for f in disk.wait(ended=True)] == [False]


def test_what_is_only_added_afterwards_goes_when_it_is_quiet(tmp_path: Path) -> None:
    disk = TrainerDisk(tmp_path)
    save(disk, *PARTS)
    assert len(disk.look()) == 1
    save(disk, "adapter_model.bin")
    assert disk.look() == []
    (second,) = disk.wait()
    assert (second.complete, len(second.files)) == (True, 5)


def test_a_sharded_checkpoint_is_saved_again(tmp_path: Path) -> None:
    disk = TrainerDisk(tmp_path)
    for name in ("__0_0.distcp", "__1_0.distcp", ".metadata"):
        disk.write(f"step-5/{name}")
    assert len(disk.look()) == 1
    disk.write("step-5/__0_0.distcp")
    assert disk.wait() == []
    disk.write("step-5/__1_0.distcp")
    assert disk.wait() == []
    disk.write("step-5/.metadata")
    assert len(disk.look()) == 1


def test_last_is_written_every_minute_by_rename(tmp_path: Path) -> None:
    disk = TrainerDisk(tmp_path)
    for n in range(5):
        disk.clock.advance(60)
        disk.write("last.pt.tmp", b"\x80\x04" + bytes(n) + b".")
        (tmp_path / "last.pt.tmp").replace(tmp_path / "last.pt")
        disk.arrived("last.pt")
        assert [f.name for f in disk.look()] == ["last.pt"]
        assert disk.wait(5) == []


def test_the_same_size_in_the_same_tick(tmp_path: Path) -> None:
    """Within the clock's granularity two contents may have one identity."""
    disk = TrainerDisk(tmp_path)
    disk.write("last.json", b'{"step": 12345}')
    assert disk.look(after=0.004) == []
    before = os.stat(tmp_path / "last.json")
    (tmp_path / "last.json").write_bytes(b'{"step": 67890}')
    os.utime(tmp_path / "last.json", ns=(before.st_mtime_ns, before.st_mtime_ns))
    (finished,) = disk.look(after=0.01)
    assert finished.step == 67890
