"""The rights of the agent's unit: each of them is needed, shown by what fails without it; and what was left out is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.committed import names
from tests.e2e.seaweed import S3
from tests.systemd.nspawn import REPOSITORY, Machine
from tests.systemd.trained import AGENT, Run

UNITS = REPOSITORY / "systemd"
MOST = 3.0
"""The exposure that `systemd-analyze security` may find: 0 is none, 10 all."""

SAVES = "import os, time; os.umask(0o77); os.chdir(os.environ['RUNCTL_CHECKPOINT_DIR']); os.chmod('.', 0o700)\n"
WRITE = "open('.tmp', 'wb').write(b'1' * 1000); os.rename('.tmp', 'model_step_%d.bin')\n"
REST = "time.sleep(600)\n"
HOLD = "held = open('model_step_1.bin', 'wb'); held.write(b'1' * 1000); held.flush()\n"


def training(*lines: str) -> list[str]:
    return ["/usr/bin/python3", "-c", "".join((SAVES, *lines, REST))]


def drop_in(machine: Machine, *lines: str) -> None:
    folder = machine.file("/etc/systemd/system/runctl-agent.service.d")
    folder.mkdir(exist_ok=True)
    (folder / "rights.conf").write_text("\n".join(("[Service]", *lines, "")))


def without(machine: Machine, right: str) -> None:
    drop_in(machine, *([f"CapabilityBoundingSet=~{right}"] if right else []))


def analyze(*argv: str) -> subprocess.CompletedProcess[str]:
    assert shutil.which("systemd-analyze"), "systemd-analyze is missing: apt-get install systemd"
    return subprocess.run(["systemd-analyze", *argv], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def test_the_exposure(root: Path) -> None:
    done = analyze("security", "--offline=true", f"--threshold={int(MOST * 10)}", "--no-pager", str(UNITS / AGENT))
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert done.returncode == 0, done.stdout
    assert float(found[1]) <= MOST


def test_the_units_are_without_fault(booted: Machine) -> None:
    """`systemd-analyze verify` warns and answers 0; silent is what counts."""
    for unit in UNITS.iterdir():
        shutil.copy(unit, booted.file("/etc/systemd/system"))
    found = booted.run("sh", "-c", "cd /etc/systemd/system && systemd-analyze verify runctl-agent.* 2>&1", check=False)
    assert found == ""


def test_what_each_right_is_for() -> None:
    """None is there that no test takes away."""
    unit = (UNITS / AGENT).read_text()
    given = re.search(r"^CapabilityBoundingSet=(.*)$", unit, re.MULTILINE)
    assert given is not None
    assert set(given[1].split()) == {"CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_LEASE", "CAP_CHOWN", "CAP_KILL"}
    assert all(f"# {name}: " in unit for name in given[1].split())
    assert "AmbientCapabilities" not in unit


@pytest.mark.parametrize("right", ["", "CAP_DAC_OVERRIDE"])
def test_it_reads_what_only_the_trainer_may(booted: Machine, s3: S3, right: str) -> None:
    without(booted, right)
    run = Run(booted, s3, command=training(WRITE % 1))
    if right:
        booted.until(lambda: "Permission denied" in " ".join(run.status().get("details", ())))
        assert run.status()["commits"] == 0
        assert names(s3) == []
    else:
        run.training(commits=1)
        assert (run.workdir / "checkpoints" / "model_step_1.bin").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("right", ["", "CAP_LEASE"])
def test_it_sees_that_a_file_is_still_open(booted: Machine, s3: S3, right: str) -> None:
    """The one that was closed later is safe, and of the open one nothing is taken."""
    without(booted, right)
    run = Run(booted, s3, command=training(HOLD, "time.sleep(2)\n", WRITE % 2))
    if right:
        run.training(commits=2)
    else:
        run.training(commits=1)
        assert names(s3) == ["model_step_2.bin"]


@pytest.mark.parametrize("right", ["", "CAP_KILL"])
def test_it_signals_the_trainer(booted: Machine, s3: S3, right: str) -> None:
    without(booted, right)
    run = Run(booted, s3, command=training(WRITE % 1), whole={"limits": {"max_runtime": "2s"}})
    if right:
        booted.until(lambda: "can't send SIGTERM to process" in " ".join(run.status().get("details", ())))
        assert run.status()["trainer_pid"]
    else:
        run.until(phase="failed", exit_code=143)


def test_what_it_restores_is_the_trainers(booted: Machine, s3: S3) -> None:
    run = Run(booted, s3, command=training(WRITE % 1))
    run.training(commits=1)
    checkpoint = run.workdir / "checkpoints" / "model_step_1.bin"
    written = checkpoint.stat().st_mtime_ns
    for right in ("CAP_CHOWN", "CAP_FOWNER", ""):
        booted.run("systemctl", "stop", AGENT)
        booted.run("systemctl", "kill", "--signal=KILL", "runctl-train.service", check=False)
        booted.until(lambda: booted.show("runctl-train.service", "LoadState")["LoadState"] == "not-found")
        shutil.rmtree(run.workdir / "checkpoints")
        booted.run("sh", "-c", "rm -rf /var/lib/runctl/*")
        without(booted, right)
        booted.run("systemctl", "daemon-reload")
        booted.run("systemctl", "start", AGENT)
        if right:
            booted.until(lambda: "Operation not permitted" in " ".join(run.status().get("details", ())))
            assert not checkpoint.exists(), right
        else:
            booted.until(checkpoint.exists)
    found = checkpoint.stat()
    assert (found.st_uid, found.st_mtime_ns) == (4711, written)


def test_its_snapshots_are_links(booted: Machine, s3: S3) -> None:
    """Nothing that protects the unit lies between a checkpoint and its staging: a link across mounts would be refused."""
    checkpoints = "/home/trainer/work/checkpoints"
    booted.run("install", "-d", "-o", "trainer", "/home/trainer/work", checkpoints)
    checkpoint = booted.file(f"{checkpoints}/model_step_1.bin")
    checkpoint.write_bytes(b"1" * 1000)
    Run(booted, replace(s3, endpoint="http://127.0.0.1:9"), whole={"workdir": "/home/trainer/work"})
    booted.until(lambda: checkpoint.stat().st_nlink == 2)


def test_it_reads_its_spec_again(booted: Machine, s3: S3) -> None:
    run = Run(booted, s3)
    before = run.training()
    pid = booted.show(AGENT, "MainPID")["MainPID"]
    booted.run("systemctl", "reload", AGENT)
    booted.until(lambda: "told to read the run spec again" in booted.told())
    booted.until(lambda: booted.show(AGENT, "ActiveState")["ActiveState"] == "active")
    assert booted.show(AGENT, "MainPID")["MainPID"] == pid
    assert run.training()["trainer_pid"] == before["trainer_pid"]


def test_what_was_left_out_is_refused(booted: Machine) -> None:
    """The same in a unit without its protection, so that it is known who refuses."""
    shutil.copy(Path(__file__).with_name("rights.py"), booted.shared)
    bare, hardened = answers(booted, ""), answers(booted, protection())
    assert {name for name, answer in hardened.items() if answer == "done"} == set(), hardened
    assert set(hardened.values()) <= {"EPERM", "EROFS", "EACCES", "EAFNOSUPPORT"}, hardened
    own = {name for name, answer in bare.items() if answer == "done"}
    assert own >= {
        "write /etc",
        "write /usr",
        "change the mounts",
        "a mount namespace",
        "trace a process",
        "read its environment",
        "a raw socket",
        "a netlink socket",
        "a low port",
        "the host's name",
        "become another user",
        "a set-uid file",
        "another root",
        "memory that is written and run",
    }, bare


def protection() -> str:
    """Of the agent's unit, what is not how it is started, watched and ended."""
    own = ("Type", "NotifyAccess", "ExecStart", "ExecReload", "Restart", "RestartSec", "Watchdog", "Timeout", "KillMode")
    service = (UNITS / AGENT).read_text().partition("[Service]")[2].partition("[Install]")[0]
    return "\n".join(line for line in service.splitlines() if line and not line.startswith((*own, "#")))


def answers(machine: Machine, protection: str) -> dict[str, str]:
    unit = machine.file("/run/systemd/system/probe.service")
    unit.write_text(f"[Service]\nType=oneshot\nExecStart=/usr/bin/python3 /srv/run/rights.py /srv/run/answers\n{protection}\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "probe")
    answer = machine.shared / "answers"
    found: dict[str, str] = json.loads(answer.read_text())
    os.unlink(answer)
    return found
