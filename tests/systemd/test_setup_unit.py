"""Setup is a unit, too: nothing of the agent's binds it, it ends with the agent, and begins anew with the next one."""

from __future__ import annotations

from tests.e2e.seaweed import S3
from tests.systemd.nspawn import Machine
from tests.systemd.trained import AGENT, Run


def units(machine: Machine) -> list[str]:
    lines = machine.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "runctl-setup*").splitlines()
    return [line.split()[0] for line in lines]


def test_the_agents_hardening_does_not_bind_it(booted: Machine, s3: S3) -> None:
    """It writes where the agent could not, in a home, as the training's user."""
    folder = booted.file("/etc/systemd/system/runctl-agent.service.d")
    folder.mkdir()
    (folder / "hardened.conf").write_text("[Service]\nReadOnlyPaths=/home\nPrivateTmp=yes\n")
    run = Run(booted, s3, setup=["echo here > ~/of-setup", "echo here > /tmp/of-setup"])
    run.training()
    assert booted.file("/home/trainer/of-setup").read_text() == "here\n"
    assert booted.file("/home/trainer/of-setup").stat().st_uid == 4711
    assert booted.file("/tmp/of-setup").read_text() == "here\n"
    assert units(booted) == []


def test_it_ends_with_the_agent_and_the_next_one_begins_anew(booted: Machine, s3: S3) -> None:
    lines = ["echo $$ >> began", "while test ! -e go; do sleep 0.1; done"]
    run = Run(booted, s3, setup=lines)
    began = run.workdir / "began"
    booted.until(lambda: began.exists() and began.read_text().count("\n") == 1)
    first = booted.file(f"/proc/{began.read_text().strip()}")
    assert first.exists()
    booted.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", AGENT)
    booted.until(lambda: began.read_text().count("\n") == 2)
    assert not first.exists(), "never two of them at a time"
    booted.until(lambda: len(units(booted)) == 1)
    (run.workdir / "go").touch()
    assert run.training()["attempt"] == 1


def test_a_failing_line_is_told_with_its_last_words(booted: Machine, s3: S3) -> None:
    run = Run(booted, s3, setup=["echo no such thing", "exit 3"])
    status = run.until(phase="failed")
    assert "no such thing" in " ".join(status["details"])
    assert not (run.workdir / "training.pid").exists()
