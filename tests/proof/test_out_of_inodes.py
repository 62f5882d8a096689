"""The disk of the checkpoints and of the agent's own has room, and not one inode left; later there are some again."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

from tests.e2e.bounded import condition
from tests.proof.trained import Trained, Watch

MIB = 2**20
NO_ROOM = "No space left on device"


def use_up(disk: Path) -> Path:
    """Not an inode is left when this returns."""
    (disk / "many").mkdir()
    with suppress(OSError):
        for number in count():
            (disk / "many" / str(number)).touch()
    assert os.statvfs(disk).f_ffree == 0
    return disk / "many"


def give_back(many: Path, inodes: int) -> None:
    for one in sorted(many.iterdir())[:inodes]:
        one.unlink()


def test_none_is_left(small: Callable[[str], Path], trained: Callable[[Path, Path], Trained]) -> None:
    disk = small("size=64m,nr_inodes=200")
    proven = trained(disk, disk / "state")
    with proven.training(), proven.running() as process:
        proven.save(1, MIB)
        proven.until_committed(process)
        many = use_up(disk)
        watch = Watch()
        assert proven.tried(2, MIB) == NO_ROOM, "the training had none either"
        give_back(many, 1)
        proven.save(2, MIB)  # the last inode is its own: there is none for staging, nor for the agent's files
        assert os.statvfs(disk).f_ffree == 0
        proven.until_committed(process)
        sent = str(watch)
        told = proven.until_told(lambda told: condition(told, "DiskFull") and "local status file" in told["error"], process)
        said = str(watch)
        assert "inode" in condition(told, "DiskFull")
        assert os.statvfs(disk).f_ffree == 0
        give_back(many, 100)
        watch = Watch()
        proven.save(3, MIB)
        proven.until_quiet(process)
        quiet = str(watch)
    print(f"out of inodes: {proven.prove()}; what was saved with the last was safe after {sent}")
    print(f"told after {said} ({condition(told, 'DiskFull')}); quiet {quiet} after there were some")
