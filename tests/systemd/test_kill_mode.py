"""Why the agent's unit has KillMode=process: a training that is detached, and no unit, is in the unit's own cgroup."""

from __future__ import annotations

import pytest

from tests.e2e.seaweed import S3
from tests.systemd.nspawn import Machine
from tests.systemd.trained import AGENT, Run


@pytest.mark.parametrize("mode", ["process", "mixed"])
def test_what_a_kill_of_the_agent_does_to_the_training(booted: Machine, s3: S3, mode: str) -> None:
    folder = booted.file("/etc/systemd/system/runctl-agent.service.d")
    folder.mkdir()
    own = "" if mode == "process" else f"KillMode={mode}\n"
    (folder / "detached.conf").write_text(f"[Service]\nUnsetEnvironment=SYSTEMD_EXEC_PID\n{own}")
    run = Run(booted, s3, user="root")
    pid_file = run.workdir / "training.pid"
    booted.until(lambda: (run.workdir / "checkpoints" / "model_step_2.bin").exists() and pid_file.exists())
    trainer = booted.file(f"/proc/{pid_file.read_text().strip()}")
    assert trainer.exists()
    agent = booted.show(AGENT, "MainPID")["MainPID"]
    booted.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", AGENT)
    booted.until(lambda: booted.show(AGENT, "MainPID")["MainPID"] not in ("0", agent))
    booted.until(lambda: booted.show(AGENT, "ActiveState")["ActiveState"] == "active")
    assert trainer.exists() is (mode == "process")
