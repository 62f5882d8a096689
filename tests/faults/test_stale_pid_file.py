"""A pid file from before: its process is gone, or its pid is somebody else's now."""

from __future__ import annotations

from pathlib import Path

import pytest

from runctl_agent.training.markers import MarkerSet
from runctl_agent.training.trainer import adopt
from tests.fakes.processes import FakeProcesses
from tests.fakes.wrapped import Wrapped


@pytest.fixture
def wrapped(tmp_path: Path) -> Wrapped:
    return Wrapped(tmp_path)


def test_a_dead_one_is_read_and_not_believed(wrapped: Wrapped) -> None:
    wrapped.pid_file.write_text("4711\n")
    seen = MarkerSet().observe(wrapped.look(), 0.0)
    assert seen.pid in (4711, None)
    assert not seen.pid_new
    assert adopt(FakeProcesses(), 4711, "") == "no process with pid 4711 is alive"


def test_a_pid_that_another_user_has_now_is_not_believed() -> None:
    processes = FakeProcesses()
    processes.start(4711, uid=0)
    assert adopt(processes, 4711, "1000", euid=0) == "process 4711 belongs to uid 0, not to the training's user"


def test_who_writes_one_can_only_name_their_own() -> None:
    processes = FakeProcesses()
    process = processes.start(4711, uid=0)
    refused = "process 4711 belongs to uid 0, and the file that names it to uid 1000"
    assert adopt(processes, 4711, "", euid=0, written_by=1000) == refused
    assert adopt(processes, 4711, "", euid=0, written_by=0) == process


def test_exec_sets_it_aside_and_starts(wrapped: Wrapped) -> None:
    wrapped.pid_file.write_text("4711\n")
    assert wrapped.run("true").returncode == 0
    assert (wrapped.workdir / "training.pid.stale-1").read_text() == "4711\n"
    assert wrapped.pid_file.read_text() != "4711\n"
