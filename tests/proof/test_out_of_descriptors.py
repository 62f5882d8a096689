"""The agent has no descriptor left (EMFILE), whatever it opens; later it may have more again."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.proof.trained import Trained, Watch

MIB = 2**20
FEW = 10
"""Less than are open: not one more can be had."""
NONE_LEFT = "Too many open files"


def allow(process: subprocess.Popen[bytes], descriptors: int) -> int:
    """And how many it was allowed before. None that is open is closed by that (prlimit(2))."""
    before, most = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (descriptors, most))
    return before


def test_none_is_left(tmp_path: Path, trained: Callable[[Path, Path], Trained]) -> None:
    proven = trained(tmp_path, tmp_path / "state")
    with proven.training(), proven.running() as process:
        proven.save(1, MIB)
        proven.until_committed(process)
        before = allow(process, FEW)
        watch = Watch()
        for step in (2, 3, 4):
            proven.save(step, MIB)
        told = proven.until_told(lambda told: NONE_LEFT in told["error"], process)
        said = str(watch)
        # For so long that every stage has had its turn without one: the vitals have theirs every 10 s.
        later = proven.until_told(lambda later: later["heartbeat"] >= told["heartbeat"] + 15, process)
        assert (later["phase"], later["commits"]) == ("training", 1)
        assert NONE_LEFT in later["error"]
        allow(process, before)
        watch = Watch()
        proven.until_committed(process)
        safe = str(watch)
        proven.until_quiet(process)
        quiet = str(watch)
    print(f"out of descriptors: {proven.prove()}; told after {said} ({told['error']})")
    print(f"all of it safe {safe}, and quiet {quiet} after there were some again")
