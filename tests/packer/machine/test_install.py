"""packer/install.sh inside a booted Debian: offline, from a folder of wheels. Debian's own Python is too old, so it is told one."""

from __future__ import annotations

import json
import os
import shutil
import sys
import zipfile
from pathlib import Path

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


def another(wheel: Path, folder: Path, commit: str) -> Path:
    """The same version from another commit."""
    folder.mkdir()
    made = folder / wheel.name
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "runctl_agent/commit.txt":
                data = f"{commit}\n".encode()
            if name.endswith("/RECORD"):
                data = b"\n".join(line for line in data.split(b"\n") if b"commit.txt" not in line)
            new.writestr(name, data)
    return made


def test_it_installs_once_and_is_taken_off_again(bare: Machine, wheels: Path, own_wheel: Path) -> None:
    said = install(bare, wheels, own_wheel)
    assert "is installed" in said
    target = bare.run("readlink", "/opt/runctl")
    assert target.startswith("/opt/runctl-0.1.0-")
    version = bare.run("runctl-agent", "--version")
    assert version.startswith("runctl-agent 0.1.0 (")
    assert bare.run("runctl", "--version") == version.replace("runctl-agent", "runctl")
    assert bare.show("runctl-agent.service", "UnitFileState")["UnitFileState"] == "enabled"
    assert bare.show("runctl-agent.service", "ActiveState")["ActiveState"] == "inactive", "there is no spec yet"
    assert bare.run("systemd-analyze", "verify", "/etc/systemd/system/runctl-agent.service") == ""
    bill = json.loads(bare.file(f"{target}/sbom.json").read_text())
    assert version.removeprefix("runctl-agent ") == bill["metadata"]["component"]["version"]
    assert {"boto3", "watchdog", "cpython"} <= {part["name"] for part in bill["components"]}
    assert not {"pip", "setuptools"} & {part["name"] for part in bill["components"]}
    assert "pip" not in bare.run("ls", f"{target}/lib/python3.{sys.version_info.minor}/site-packages").split()

    made = bare.run("stat", "-c", "%Y", f"{target}/.complete")
    assert "is there already" in install(bare, wheels, own_wheel)
    assert bare.run("stat", "-c", "%Y", f"{target}/.complete") == made
    assert bare.run("readlink", "/opt/runctl") == target

    bare.run("mkdir", "-p", "/var/lib/runctl")
    bare.run("bash", INSTALL, "--uninstall")
    assert bare.run("sh", "-c", "ls -d /opt/runctl* /usr/local/bin/runctl* /etc/systemd/system/*runctl*", check=False) == ""
    assert bare.run("sh", "-c", "find /etc -name '*runctl*' -not -path /etc/runctl") == ""
    assert bare.run("ls", "-d", "/var/lib/runctl") == "/var/lib/runctl", "what it kept is nobody's to remove unasked"
    assert bare.show("runctl-agent.service", "LoadState")["LoadState"] == "not-found"


def test_without_its_wheels_nothing_is_in_use_that_was_not_before(bare: Machine, wheels: Path, own_wheel: Path, tmp_path: Path) -> None:
    install(bare, wheels, own_wheel)
    before = bare.run("readlink", "/opt/runctl")
    for wheel in (bare.shared / "wheels").glob("boto3-*.whl"):
        wheel.write_bytes(wheel.read_bytes() + b"tampered with")
    other = another(own_wheel, tmp_path / "other", "f" * 12)
    shutil.copy(other, bare.shared / other.name)
    arguments = ("--wheel", f"/srv/run/{other.name}", "--wheels", "/srv/run/wheels", "--python", PYTHON)
    said = bare.run("sh", "-c", f"bash {INSTALL} {' '.join(arguments)} 2>&1; echo exit $?")
    assert "could not be built" in said
    assert "mend: " in said
    assert said.endswith("exit 1")
    assert bare.run("readlink", "/opt/runctl") == before
    assert bare.run("sh", "-c", "ls -d /opt/runctl-*") == before, "the half made one is gone"
