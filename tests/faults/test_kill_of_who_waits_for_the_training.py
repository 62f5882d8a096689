"""Whoever waits for the training's end is killed while the agent looks on: the training goes on, and so does its run."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil

from tests.e2e.seaweed import S3
from tests.e2e.test_command import machine

WAITS = "import os, time\nwhile not os.path.exists('end'): time.sleep(0.02)"


def test_it_goes_on(tmp_path: Path, s3: S3) -> None:
    agent = machine(tmp_path, s3, "one", [sys.executable, "-c", WAITS])
    with agent.running() as process:
        status = agent.wait_for(lambda status: status["phase"] == "training", process)
        trainer = psutil.Process(status["trainer_pid"])
        wrapper = trainer.parent()
        assert wrapper is not None
        assert "runctl_agent.training.worker" in wrapper.cmdline()
        wrapper.kill()
        agent.wait_for(lambda _: "nobody waits for its end any more" in agent.log.read_text(), process)
        assert trainer.is_running()
        assert agent.status()["phase"] == "training"
        (agent.workdir / "end").touch()
        status = agent.wait_for(lambda status: status["phase"] == "failed", process)
    assert status["exit_code"] is None
    assert "exit code unknown" in agent.log.read_text()
