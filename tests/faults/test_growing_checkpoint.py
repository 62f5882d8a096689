"""A checkpoint is looked at while it is still being written."""

from __future__ import annotations

from pathlib import Path

from tests.fakes.trainer_disk import TrainerDisk, body

TRAINER = ("config.json", "model.safetensors.index.json", "training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth")


def test_a_file_is_open_for_writing(tmp_path: Path) -> None:
    disk = TrainerDisk(tmp_path)
    whole = body("last.pt")
    for size in (10, 500, len(whole)):
        with disk.writing("last.pt", whole[:size]):
            assert disk.wait(20) == []
            assert disk.why("last.pt") == "last.pt is open for writing"
    (finished,) = disk.look()
    assert (finished.name, finished.size, finished.complete) == ("last.pt", len(whole), True)
    assert disk.wait() == []


def test_where_leases_fail_half_a_file_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    disk = TrainerDisk(tmp_path, leases=False)
    disk.write("last.pt", body("last.pt")[:-1])
    assert disk.wait() == []
    disk.write("last.pt")
    disk.closed("last.pt")
    assert [f.name for f in disk.look()] == ["last.pt"]


def test_a_format_that_proves_nothing_grows_with_pauses(tmp_path: Path) -> None:
    disk = TrainerDisk(tmp_path, leases=False)
    for size in range(1, 20):
        disk.write("weights.bin", b"GGUF" * size)
        assert disk.look(after=1.5) == []
    (finished,) = disk.wait()
    assert finished.size == 4 * 19


def test_hugging_faces_trainer_pauses_before_each_file(tmp_path: Path) -> None:
    disk = TrainerDisk(tmp_path)
    disk.write("checkpoint-5/model-00001-of-00002.safetensors", b"\x08\0\0\0\0\0\0\0{}      ")
    assert disk.wait(30) == []
    disk.write("checkpoint-5/model-00002-of-00002.safetensors", b"\x08\0\0\0\0\0\0\0{}      ")
    for name in TRAINER[1:]:
        disk.write(f"checkpoint-5/{name}")
        if name != TRAINER[1]:  # until then, it may be a model that somebody saved by hand
            assert disk.wait(30) == []
    assert disk.why("checkpoint-5") == "trainer_state.json, written last, is missing"
    disk.write("checkpoint-5/trainer_state.json")
    (finished,) = disk.look()
    assert (finished.step, finished.complete, len(finished.files)) == (5, True, 8)


def test_once_a_trainer_was_seen_its_names_wait_for_its_last_part(tmp_path: Path) -> None:
    disk = TrainerDisk(tmp_path)
    disk.write("checkpoint-5/optimizer.pt")
    disk.write("checkpoint-5/trainer_state.json")
    assert len(disk.look()) == 1
    disk.write("checkpoint-6/pytorch_model.bin")
    assert disk.wait() == []
    disk.write("checkpoint-6/optimizer.pt")
    disk.write("checkpoint-6/trainer_state.json")
    assert [f.name for f in disk.look()] == ["checkpoint-6"]


def test_a_model_saved_by_hand_under_the_trainers_name_needs_quiet(tmp_path: Path) -> None:
    disk = TrainerDisk(tmp_path)
    disk.write("checkpoint-5/config.json")
    disk.write("checkpoint-5/pytorch_model.bin")
    assert disk.look() == []
    (finished,) = disk.wait()
    assert (finished.step, finished.complete) == (5, True)


def test_training_ends_in_the_middle_of_a_save(tmp_path: Path) -> None:
    disk = TrainerDisk(tmp_path)
    for name in TRAINER[2:]:
        disk.write(f"checkpoint-5/{name}")
    assert disk.wait() == []
    (finished,) = disk.look(ended=True)
    assert (finished.name, finished.complete) == ("checkpoint-5", False)
    assert disk.wait(ended=True) == []
