"""A trainer died while it wrote: the file on disk is the head of a checkpoint."""

from __future__ import annotations

from pathlib import Path

from tests.fakes.trainer_disk import TrainerDisk, body


def test_it_is_not_finished_while_training_runs_and_incomplete_after(tmp_path: Path) -> None:
    disk = TrainerDisk(tmp_path)
    disk.write("good.pt")
    disk.write("last.pt", body("last.pt")[:500])
    assert [f.name for f in disk.wait(600)] == ["good.pt"]
    assert disk.why("last.pt") == "last.pt is not whole"
    (finished,) = disk.look(ended=True)
    assert (finished.name, finished.complete) == ("last.pt", False)


def test_what_becomes_whole_after_all_is_complete(tmp_path: Path) -> None:
    disk = TrainerDisk(tmp_path)
    disk.write("last.pt", body("last.pt")[:500])
    assert [f.complete for f in disk.wait(ended=True)] == [False]
    disk.write("last.pt")
    assert [f.complete for f in disk.look()] == [True]


def test_one_truncated_file_spoils_its_directory(tmp_path: Path) -> None:
    disk = TrainerDisk(tmp_path)
    disk.write("mine/model.pt", body("model.pt")[:500])
    disk.write("mine/config.json")
    assert disk.wait() == []
    assert disk.why("mine") == "model.pt is not whole"
    assert [f.complete for f in disk.look(ended=True)] == [False]


def test_preallocated_space_is_not_content(tmp_path: Path) -> None:
    """The last byte is there, what lies before it is not."""
    disk = TrainerDisk(tmp_path)
    content = body("last.pt", 1 << 20)
    with (tmp_path / "last.pt").open("wb") as file:
        file.write(content[:10])
        file.seek(len(content) - 1)
        file.write(content[-1:])
    disk.stamp("last.pt")
    assert disk.look() == [], "it would prove itself whole, but for its hole"
    assert [f.name for f in disk.wait()] == ["last.pt"]
