"""The kernel kills the training for want of memory: the record says so, and whoever waits for its end lives on."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.seaweed import S3
from tests.systemd.nspawn import machine
from tests.systemd.trained import Run

HOARD = "kept = []\nwhile True: kept.append(bytearray(16 * 1024 * 1024))"


def test_an_oom_kill_is_evidence(root: Path, tmp_path: Path, s3: S3) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    with machine(root, shared, tmp_path / "console", memory=600 * 1024 * 1024) as small:
        run = Run(small, s3, command=["/usr/bin/python3", "-c", HOARD])
        status = run.until(phase="failed", exit_code=137)
        assert (run.record().signal, run.record().oom_kill) == (9, True)
        assert "the kernel killed for want of memory" in small.told()
        assert status["attempt"] == 1
