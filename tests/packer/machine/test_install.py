"""packer/install.sh inside a booted Debian: offline, from a folder of wheels. It is told its Python: one that this host has."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.packer import page
from tests.packer.machine.versions import another
from tests.systemd.nspawn import REPOSITORY, Machine

PYTHON = os.path.join(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
INSTALL = str(REPOSITORY / "packer" / "install.sh")


def install(machine: Machine, wheels: Path, wheel: Path, *more: str) -> str:
    given = machine.shared / "wheels"
    if not given.exists():
        shutil.copytree(wheels, given)
    shutil.copy(wheel, given / wheel.name)
    arguments = ("--wheel", f"/srv/run/wheels/{wheel.name}", "--wheels", "/srv/run/wheels", "--python", PYTHON, *more)
    return machine.run("bash", INSTALL, *arguments)


def test_it_installs_once_and_is_taken_off_again(bare: Machine, wheels: Path, own_wheel: Path) -> None:
    said = install(bare, wheels, own_wheel)
    assert "is installed" in said
    target = bare.run("readlink", "-f", "/opt/runctl")
    assert target.startswith("/opt/runctl-0.1.0-")
    version = bare.run("runctl-agent", "--version")
    assert version.startswith("runctl-agent 0.1.0 (")
    assert bare.run("runctl", "--version") == version.replace("runctl-agent", "runctl")
    assert bare.show("runctl-agent.service", "UnitFileState")["UnitFileState"] == "enabled"
    assert bare.show("runctl-agent.service", "ActiveState")["ActiveState"] == "inactive", "there is no spec yet"
    assert bare.run("systemd-analyze", "verify", "/etc/systemd/system/runctl-agent.service") == ""
    text = bare.file(f"{target}/sbom.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(text) is None
    bill = json.loads(text)
    assert version.removeprefix("runctl-agent ") == bill["metadata"]["component"]["version"]
    assert {"boto3", "watchdog", "cpython"} <= {part["name"] for part in bill["components"]}
    assert not {"pip", "setuptools"} & {part["name"] for part in bill["components"]}
    assert "pip" not in bare.run("ls", f"{target}/lib/python3.{sys.version_info.minor}/site-packages").split()

    made = bare.run("stat", "-c", "%Y", f"{target}/.complete")
    assert "is there already" in install(bare, wheels, own_wheel)
    assert bare.run("stat", "-c", "%Y", f"{target}/.complete") == made
    assert bare.run("readlink", "-f", "/opt/runctl") == target

    bare.run("mkdir", "-p", "/var/lib/runctl")
    bare.run("bash", INSTALL, "--uninstall")
    assert bare.run("sh", "-c", "ls -d /opt/runctl* /usr/local/bin/runctl* /etc/systemd/system/*runctl*", check=False) == ""
    assert bare.run("sh", "-c", "find /etc -name '*runctl*' -not -path /etc/runctl") == ""
    assert bare.run("ls", "-d", "/var/lib/runctl") == "/var/lib/runctl", "what it kept is nobody's to remove unasked"
    assert bare.show("runctl-agent.service", "LoadState")["LoadState"] == "not-found"


def test_what_has_another_hash_is_refused(bare: Machine, wheels: Path, own_wheel: Path, tmp_path: Path) -> None:
    install(bare, wheels, own_wheel)
    before = bare.run("readlink", "-f", "/opt/runctl")
    for wheel in (bare.shared / "wheels").glob("boto3-*.whl"):
        wheel.write_bytes(wheel.read_bytes() + b"tampered with")
    other = another(own_wheel, tmp_path / "other", "f" * 12)
    shutil.copy(other, bare.shared / other.name)
    arguments = ("--wheel", f"/srv/run/{other.name}", "--wheels", "/srv/run/wheels", "--python", PYTHON)
    said = bare.run("sh", "-c", f"bash {INSTALL} {' '.join(arguments)} 2>&1; echo exit $?")
    assert "could not be built" in said
    assert "mend: " in said
    assert said.endswith("exit 1")
    assert bare.run("readlink", "-f", "/opt/runctl") == before
    assert bare.run("sh", "-c", "ls -d /opt/runctl-*") == before, "the half made one is gone"


def test_an_upgrade_restarts_the_agent_alone(bare: Machine, wheels: Path, own_wheel: Path, tmp_path: Path) -> None:
    install(bare, wheels, own_wheel)
    bare.run("systemctl", "stop", "runctl-agent.path")
    stand_in = bare.file("/etc/systemd/system/runctl-agent.service.d")
    stand_in.mkdir(exist_ok=True)
    (stand_in / "test.conf").write_text(
        "[Unit]\nConditionPathExists=\n[Service]\nType=exec\nWatchdogSec=0\nExecStart=\n"
        "ExecStart=/opt/runctl/bin/python -c 'import time; time.sleep(3600)'\n"
    )
    bare.run("systemctl", "daemon-reload")
    bare.run("systemctl", "start", "runctl-agent.service")
    bare.run("systemd-run", "--unit=runctl-train", "sleep", "3600")
    agent, training = (bare.show(unit, "MainPID")["MainPID"] for unit in ("runctl-agent.service", "runctl-train.service"))
    before = bare.run("readlink", "-f", "/opt/runctl")

    install(bare, wheels, own_wheel)
    assert bare.show("runctl-agent.service", "MainPID")["MainPID"] == agent, "the same again restarts nothing"

    said = install(bare, wheels, another(own_wheel, tmp_path / "second", "2" * 12))
    assert "restarting the agent" in said
    assert "(222222222222)" in bare.run("runctl-agent", "--version")
    bare.until(lambda: bare.show("runctl-agent.service", "MainPID")["MainPID"] not in (agent, "0"))
    assert bare.show("runctl-train.service", "MainPID")["MainPID"] == training
    assert bare.run("ls", "-d", before) == before, "the way back"

    install(bare, wheels, another(own_wheel, tmp_path / "third", "3" * 12))
    assert bare.run("sh", "-c", "ls -d /opt/runctl-0* | wc -l") == "2", "the one before the last is gone"


def test_a_cleaned_machine_is_fit_to_be_an_image(bare: Machine, wheels: Path, checkout: Path) -> None:
    """By the page's own commands."""
    ours = bare.shared / "checkout"
    shutil.copytree(checkout, ours)
    shutil.copytree(wheels, ours / "wheels")
    bare.file("/usr/local/bin/sudo").write_text('#!/bin/sh\nexec "$@"\n')
    bare.file("/usr/local/bin/sudo").chmod(0o755)

    def told(command: str) -> str:
        return bare.run(
            "sh", "-c", f"cd /srv/run/checkout && PATH={os.path.dirname(PYTHON)}:$PATH; ({command}) 2>&1; echo exit $?"
        )

    assert "is installed: /opt/runctl-0.1.0-" in told(page.OFFLINE)
    assert told(page.VERSION).startswith("runctl-agent 0.1.0 (")
    again = told(page.INSTALL)
    assert "is there already" in again
    assert again.endswith("exit 0"), again
    bare.run("sh", "-c", "mkdir -p /root/.ssh /etc/ssh && echo key | tee /root/.ssh/authorized_keys /etc/ssh/ssh_host_rsa_key")
    bare.run("sh", "-c", "echo spec > /etc/runctl/run.yaml; echo ls > /root/.bash_history; echo log > /var/log/some.log")
    bare.run("systemctl", "stop", "runctl-agent.path", "runctl-agent.service")
    failed = set(re.findall(r"^FAIL ([a-z -]+):", told(page.DOCTOR), re.MULTILINE))
    assert {"run spec", "authorized keys", "host keys", "history", "logs", "journal", "machine-id"} <= failed
    assert told(page.CLEAN).endswith("exit 0")
    said = told(page.DOCTOR)
    assert "FAIL" not in said
    assert "systemd finds no fault" in said
    assert said.endswith("exit 0")
    assert told(page.UNINSTALL).endswith("exit 0")
    assert "not found" in told(page.VERSION)
