"""The agent's address space may not grow (RLIMIT_AS), so that what it asks for is refused; later it may again."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.proof.trained import Trained, Watch

MIB = 2**20
NONE_LEFT = ("Cannot allocate memory", "the agent gets no more memory")


def allow(process: subprocess.Popen[bytes], size: int) -> None:
    resource.prlimit(process.pid, resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))


def test_there_is_none(tmp_path: Path, trained: Callable[[Path, Path], Trained]) -> None:
    proven = trained(tmp_path, tmp_path / "state")
    with proven.training(), proven.running() as process:
        proven.save(1, MIB)
        proven.until_committed(process)
        allow(process, psutil.Process(process.pid).memory_info().vms + MIB)
        watch = Watch()
        proven.save(2, 64 * MIB)
        told = proven.until_told(lambda told: told["failures"] >= 3, process)  # it is tried again, and fails again
        said = str(watch)
        assert told["error"].endswith(NONE_LEFT)
        assert (told["phase"], told["commits"], told["pending_checkpoints"]) == ("training", 1, 1)
        allow(process, resource.RLIM_INFINITY)
        watch = Watch()
        proven.until_committed(process)
        safe = str(watch)
        proven.until_quiet(process)
        quiet = str(watch)
    print(f"no memory: {proven.prove()}; told after {said} ({told['error']})")
    print(f"all of it safe {safe}, and quiet {quiet} after there was some")
