"""`systemctl poweroff`: the training is stopped first, then the agent, and everything is durable before the machine goes."""

from __future__ import annotations

from tests.e2e.committed import names
from tests.e2e.seaweed import S3
from tests.systemd.nspawn import Machine
from tests.systemd.trained import AGENT, UNIT, Run


def test_poweroff(booted: Machine, s3: S3) -> None:
    run = Run(booted, s3)
    run.training()
    booted.run("systemctl", "poweroff", check=False)
    booted.until(lambda: booted.gone)
    told = booted.told()
    order = [told.index(f"{what} {unit}") for what, unit in (("Stopped", UNIT), ("Stopping", AGENT), ("Stopped", AGENT))]
    assert order == sorted(order), told
    assert "the machine is being shut down: everything is made durable first" in told
    assert "runctl-train.service: Killing" not in told
    assert names(s3) == ["model_step_1.bin", "model_step_2.bin", "model_step_3.bin"], "the one of SIGTERM, too"
    state = run.told_in_s3()
    assert (state["phase"], state["exit_code"], state["pending_checkpoints"]) == ("interrupted", 143, 0)
