"""The training is a unit of its own: nothing that happens to the agent's reaches it."""

from __future__ import annotations

import signal

import pytest

from tests.e2e.committed import names
from tests.e2e.seaweed import S3
from tests.systemd.nspawn import Machine
from tests.systemd.trained import AGENT, UNIT, Run

SECRET = "of-nobody-else"


def test_a_cgroup_a_user_and_limits_of_its_own(booted: Machine, s3: S3) -> None:
    run = Run(booted, s3, env={"TOKEN": SECRET}, setup=["cat /proc/self/cgroup > setup-cgroup"])
    status = run.training()
    pid = status["trainer_pid"]
    assert any(path.endswith(f"/{UNIT}") for path in run.cgroup(pid))
    assert not any(AGENT in path for path in run.cgroup(pid))
    assert booted.file(f"/proc/{pid}").stat().st_uid == 4711
    assert f"TOKEN={SECRET}".encode() in booted.file(f"/proc/{pid}/environ").read_bytes()
    shown = booted.show(
        UNIT,
        "KillMode",
        "OOMPolicy",
        "TasksMax",
        "TimeoutStopUSec",
        "After",
        "PartOf",
        "BindsTo",
        "Requires",
        "LimitMEMLOCK",
        "LimitNOFILE",
        "LimitNPROC",
    )
    assert (shown["KillMode"], shown["OOMPolicy"], shown["TasksMax"]) == ("mixed", "continue", "infinity")
    assert shown["TimeoutStopUSec"] == "20s"
    assert (shown["LimitMEMLOCK"], shown["LimitNOFILE"], shown["LimitNPROC"]) == ("infinity", "1048576", "infinity")
    assert AGENT in shown["After"].split()
    assert AGENT not in (shown.get("PartOf", "") + shown.get("BindsTo", "") + shown.get("Requires", "")).split()
    assert SECRET not in booted.run("systemctl", "show", UNIT), "anybody can read a unit's properties"
    assert "torchrun 18" in run.log()
    setup = (run.workdir / "setup-cgroup").read_text()
    assert "/system.slice/runctl-setup-" in setup
    assert AGENT not in setup
    run.end()
    assert run.until(phase="finished")["exit_code"] == 0
    booted.until(lambda: booted.show(UNIT, "LoadState")["LoadState"] == "not-found")
    left = booted.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "runctl-*")
    assert [line.split()[0] for line in left.splitlines()] == [AGENT], "and nothing of it is left"


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_it_outlives_the_agent_and_the_next_one_adopts_it(booted: Machine, s3: S3, how: str) -> None:
    run = Run(booted, s3)
    before = run.training()
    agent = booted.show(AGENT, "MainPID")["MainPID"]
    if how == "restart":
        booted.run("systemctl", "restart", AGENT)
    else:
        booted.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", AGENT)
    booted.until(lambda: booted.show(AGENT, "MainPID", "ActiveState") not in ({"MainPID": agent, "ActiveState": "active"},))
    booted.until(lambda: booted.show(AGENT, "ActiveState")["ActiveState"] == "active")
    assert booted.show(AGENT, "MainPID")["MainPID"] != agent
    after = run.training(before["commits"])
    assert (after["trainer_pid"], after["attempt"]) == (before["trainer_pid"], 1)
    run.end()
    ended = run.until(phase="finished")
    assert (ended["exit_code"], ended["attempt"], ended["trainer_pid"]) == (0, 1, before["trainer_pid"])
    assert run.log().count("resume") == 1, "it was started once"
    assert names(s3) == ["model_step_1.bin", "model_step_2.bin"]


def test_its_exit_code_is_told(booted: Machine, s3: S3) -> None:
    run = Run(booted, s3, code=3)
    run.training()
    run.end()
    status = run.until(phase="failed", exit_code=3)
    assert (run.record().code, run.record().signal) == (3, None)
    assert run.record().process.pid == status["trainer_pid"]
    assert (run.workdir / "training_exit_code.txt").read_text() == "3\n"


def test_whoever_waits_for_its_end_is_killed(booted: Machine, s3: S3) -> None:
    """systemd ends what has lost its main process; that is told as what it is."""
    run = Run(booted, s3)
    run.training()
    booted.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", UNIT)
    booted.until(lambda: booted.show(UNIT, "LoadState")["LoadState"] == "not-found")
    status = run.until(phase="failed")
    assert status["exit_code"] is None
    assert "exit code unknown" in booted.told()
    assert names(s3) == ["model_step_1.bin", "model_step_2.bin"]


def test_what_it_leaves_ends_with_it(booted: Machine, s3: S3) -> None:
    """Also what has made a session of its own, as torchrun's workers do."""
    left = "import os, time; os.setsid(); open('left', 'w').write(str(os.getpid())); time.sleep(600)"
    script = f"import os, subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {left!r}])"
    run = Run(booted, s3, command=["/usr/bin/python3", "-c", f"{script}\nwhile not os.path.exists('left'): time.sleep(0.02)"])
    assert run.until(phase="finished")["exit_code"] == 0
    booted.until(lambda: not booted.file(f"/proc/{(run.workdir / 'left').read_text()}").exists())


def test_a_second_one_is_refused(booted: Machine, s3: S3) -> None:
    """Whatever else has its name, it is not started beside it, and that is said."""
    booted.run("systemd-run", "--unit=runctl-train", "sleep", "600")
    run = Run(booted, s3)
    status = run.until(phase="failed")
    told = " ".join(status["details"])
    assert "the unit runctl-train was not started" in told
    assert "systemctl stop runctl-train" in told
    assert not (run.workdir / "training.pid").exists()
    assert booted.show(UNIT, "ActiveState")["ActiveState"] == "active", "the other goes on"


def test_stopped_by_its_unit_it_is_told_as_its_own_exit_code(booted: Machine, s3: S3) -> None:
    run = Run(booted, s3)
    run.training()
    booted.run("systemctl", "stop", UNIT)
    status = run.until(phase="failed", exit_code=128 + signal.SIGTERM)
    assert status["commits"] == 3
    assert names(s3) == ["model_step_1.bin", "model_step_2.bin", "model_step_3.bin"], "its last checkpoint, too"
