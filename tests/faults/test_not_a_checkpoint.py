"""What lies beside checkpoints, harmless or hostile, is never taken for one."""

from __future__ import annotations

import os
from pathlib import Path

from tests.fakes.trainer_disk import TrainerDisk


def test_logs_and_temporary_names(tmp_path: Path) -> None:
    disk = TrainerDisk(tmp_path)
    for path in (
        "runs/Nov23/events.out.tfevents.1",
        "wandb/run-1/files/model.pt",
        "lightning_logs/version_0/checkpoints/last.ckpt",
        "tensorboard/events.out.tfevents.1",
        "last.pt.tmp",
        ".tmpa8Fz.safetensors",
        "tmp-checkpoint-5/model.pt",
        "100.orbax-checkpoint-tmp-7/_CHECKPOINT_METADATA",
        "last.pt.lock",
        ".cache/model.pt",
        "train.py",
        "README.md",
    ):
        disk.write(path)
    disk.write("empty.pt", b"")
    assert disk.wait(ended=True) == []
    assert disk.settler.unfinished() == []


def test_links_and_pipes_lead_nowhere(tmp_path: Path) -> None:
    secret = tmp_path / "secret" / "key.pt"
    secret.parent.mkdir()
    secret.write_bytes(b"\x80\x04secret.")
    root = tmp_path / "checkpoints"
    root.mkdir()
    disk = TrainerDisk(root)
    (root / "key.pt").symlink_to(secret)
    (root / "checkpoint-5").symlink_to(secret.parent)
    os.mkfifo(root / "pipe.pt")
    disk.write("mine/model.pt")
    (root / "mine" / "key.pt").symlink_to(secret)
    (root / "mine" / "folder").symlink_to(secret.parent)
    os.mkfifo(root / "mine" / "pipe.pt")
    (finished,) = disk.wait(ended=True)
    assert (finished.name, [f.path for f in finished.files]) == ("mine", ["model.pt"])


def test_a_directory_becomes_a_link_while_it_is_known(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "model.pt").write_bytes(b"\x80\x04.")
    root = tmp_path / "checkpoints"
    root.mkdir()
    disk = TrainerDisk(root)
    disk.write("mine/model.pt")
    assert "mine" in disk.reader.names()
    (root / "mine").rename(root / ".old")
    (root / "mine").symlink_to(outside)
    assert disk.reader.read("mine") is None
