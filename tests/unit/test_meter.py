"""What is measured of real processes and real files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import psutil
import pytest

from runctl_agent.errors import RunctlError
from runctl_agent.meter import Meter
from runctl_agent.training.trainer import LinuxProcesses

BUSY = """
import sys, time
room = bytearray(40_000_000)
while time.process_time() < 0.6:
    pass
print("busy", flush=True)
sys.stdin.readline()
"""
LAUNCHER = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BUSY!r}], start_new_session=True)"
"""As torchrun starts its workers."""


def test_workers_in_sessions_of_their_own_count() -> None:
    command = [sys.executable, "-c", LAUNCHER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as launcher:
        assert launcher.stdout is not None
        assert launcher.stdout.readline() == b"busy\n"
        processes = LinuxProcesses()
        leader = processes.identify(launcher.pid)
        assert leader is not None
        session = processes.session(leader)
        assert session == [leader], "the worker is not in it"
        seconds, rss = Meter().processes(leader, session)
        launcher.communicate(b"\n", timeout=60)
    assert seconds >= 0.5, "it burned 0.6; the kernel counts user and system in whole ticks"
    assert rss >= 40_000_000
    assert Meter().processes(leader, []) == (0.0, 0)


def test_without_a_descriptor_nothing_is_measured_which_is_not_nothing_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> NoReturn:
        raise OSError(24, "Too many open files")

    processes = LinuxProcesses()
    leader = processes.identify(os.getpid())
    assert leader is not None
    with monkeypatch.context() as for_now:
        for_now.setattr(psutil, "Process", refused)
        with pytest.raises(RunctlError, match="Too many open files"):
            Meter().processes(leader, [leader])
    assert Meter().processes(leader, [leader])[1] > 0


def test_the_end_of_a_log_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "train.log").write_bytes(b"a" * 100 + b"end")
    (tmp_path / "link.log").symlink_to("/etc/passwd")
    (tmp_path / "checkpoint-1").symlink_to("/etc")
    meter = Meter()
    assert meter.log(str(tmp_path), "train.log", 5) == (103, b"aaend")
    for path in ("link.log", "checkpoint-1/passwd", "missing", "."):
        assert meter.log(str(tmp_path), path, 5) == (0, b"")


def test_disk_left(tmp_path: Path) -> None:
    assert (Meter().disk_free(str(tmp_path)) or 0) > 0
    assert Meter().disk_free(str(tmp_path / "missing")) is None
