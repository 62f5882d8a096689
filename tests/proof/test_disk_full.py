"""The disk of the checkpoints and of the agent's own is filled to its last byte while one is being sent; later it is freed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from runctl_simulator.seaweed import SeaweedFS
from tests.e2e.bounded import condition
from tests.proof.trained import Trained, Watch

MIB = 2**20
PAGE = 4096
NO_ROOM = "No space left on device"


def fill(disk: Path) -> Path:
    """Not a byte is left when this returns: of what can't be written as a page nothing can."""
    with (disk / "filler").open("wb", buffering=0) as filler:
        for size in (MIB, PAGE):
            with suppress(OSError):
                while filler.write(bytes(size)):
                    pass
    free = os.statvfs(disk)
    assert free.f_bfree == 0
    return disk / "filler"


def test_it_is_full(small: Callable[[str], Path], trained: Callable[[Path, Path], Trained], own: SeaweedFS) -> None:
    disk = small("size=64m")
    proven = trained(disk, disk / "state")
    with proven.training(), proven.running() as process:
        for step in (1, 2):
            proven.save(step, MIB)
        proven.until_committed(process)
        os.kill(own.pid, signal.SIGSTOP)
        try:
            proven.save(3, 20 * MIB)
            proven.wait_for(lambda status: status["sending"] == "model_step_3.bin", process)
            filler = fill(disk)
            assert proven.tried(4, MIB) == NO_ROOM, "the training had no room either"
        finally:
            os.kill(own.pid, signal.SIGCONT)
        watch = Watch()
        proven.until_committed(process)
        sent = str(watch)
        told = proven.until_told(lambda told: condition(told, "DiskFull"), process)
        said = str(watch)
        (proven.watched / "model_step_1.bin").unlink()  # as a rotation does, and what is saved then fills it again
        proven.save(5, MIB)
        assert os.statvfs(disk).f_bfree == 0
        proven.until_committed(process)
        assert "local status file" in proven.told()["error"]
        assert condition(proven.told(), "DiskFull")
        filler.unlink()
        watch = Watch()
        proven.save(6, 10 * MIB)
        proven.until_quiet(process)
        quiet = str(watch)
    print(f"disk full: {proven.prove()}; what stood was safe {sent} after S3 answered again, with no byte left")
    print(f"told after {said} ({condition(told, 'DiskFull')}); quiet {quiet} after there was room")
