from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runctl_simulator.processes import below, children, kill_below

from .account import gone, wait_for

FORKS = """
import os, sys, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
open(sys.argv[1], "a").write(".")
time.sleep(600)
"""


@pytest.fixture
def forked(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Eight processes, each in a session of its own, below the first."""
    ready = tmp_path / "ready"
    process = subprocess.Popen([sys.executable, "-c", FORKS, str(ready)])
    try:
        wait_for(lambda: ready.exists() and len(ready.read_text()) == 8)
        yield process
    finally:
        kill_below(process.pid, and_itself=True)
        process.wait()


def test_everything_below_but_not_itself(forked: subprocess.Popen[bytes]) -> None:
    tree = below(forked.pid)
    assert len(tree) == 7
    assert sorted(tree) == sorted(kill_below(forked.pid, and_itself=False))
    assert gone(tree)
    assert below(forked.pid) == children(forked.pid) == []
    assert forked.poll() is None


def test_everything_and_itself(forked: subprocess.Popen[bytes]) -> None:
    tree = [forked.pid, *below(forked.pid)]
    assert sorted(kill_below(forked.pid, and_itself=True)) == sorted(tree)
    assert gone(tree)


def test_of_one_that_is_gone_nothing_is_killed() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert kill_below(process.pid, and_itself=True) == []
