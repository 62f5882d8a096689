"""What an image must have, and what not: each is named with its mend, and packer/clean.sh removes what may not be there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from runctl_agent.finding import Finding
from runctl_agent.image_check import CLEAN, INSTALL, examine

CLEAN_SH = Path(__file__).parents[2] / "packer" / "clean.sh"
HOME = "opt/runctl-0.1.0-0123456789ab"
UNIT = "etc/systemd/system/runctl-agent.service"
LIMITS = "etc/sysctl.d/60-runctl.conf"


def put(root: Path, path: str, text: str = "of this machine\n") -> Path:
    made = root / path
    made.parent.mkdir(parents=True, exist_ok=True)
    made.write_text(text)
    return made


def link(root: Path, path: str, target: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).symlink_to(target)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine that is fit to be an image."""
    put(tmp_path, f"{HOME}/bin/runctl-agent", "").chmod(0o755)
    put(tmp_path, f"{HOME}/.complete", "")
    put(tmp_path, f"{HOME}/sbom.json", "{}")
    put(tmp_path, f"{HOME}/pyvenv.cfg", "home = /usr/bin\nversion = 3.12.3\n")
    link(tmp_path, "opt/runctl", os.path.basename(HOME))
    for name in ("runctl-agent", "runctl"):
        link(tmp_path, f"usr/local/bin/{name}", f"/opt/runctl/bin/{name}")
    put(tmp_path, UNIT, "[Service]\n")
    link(tmp_path, "etc/systemd/system/multi-user.target.wants/runctl-agent.service", f"/{UNIT}")
    put(tmp_path, LIMITS, "# more\nfs.inotify.max_user_watches = 1048576\nfs.inotify.max_user_instances=1024\n")
    put(
        tmp_path,
        "etc/passwd",
        "root:x:0:0::/root:/bin/bash\nubuntu:x:1000:1000::/home/ubuntu:/bin/bash\nnobody:x:2:2::/:/bin/sh\n",
    )
    put(tmp_path, "etc/machine-id", "")
    put(tmp_path, "var/log/syslog", "")
    return tmp_path


def failed(root: Path) -> dict[str, Finding]:
    return {found.name: found for found in examine(str(root)) if found.error}


def test_a_clean_one_is_well(root: Path) -> None:
    found = {one.name: one.text for one in examine(str(root))}
    assert failed(root) == {}
    assert found["agent"] == "runctl-0.1.0-0123456789ab, Python 3.12.3"
    assert found["inotify"] == "max_user_instances 1024, max_user_watches 1048576"
    assert "not verified" in found["unit"], "the systemd here is not the image's"


LEFT = [
    ("etc/runctl/run.yaml", "run spec"),
    ("var/lib/runctl/runs", "state"),
    ("var/lib/runctl/.hidden", "state"),
    ("var/log/journal/0123/system.journal", "journal"),
    ("var/log/journal/0123/user-1000.journal~", "journal"),
    ("run/log/journal/0123/system.journal", "journal"),
    ("etc/ssh/ssh_host_ed25519_key", "host keys"),
    ("root/.ssh/authorized_keys", "authorized keys"),
    ("home/ubuntu/.ssh/authorized_keys2", "authorized keys"),
    ("home/ubuntu/.aws/credentials", "credentials"),
    ("home/ubuntu/.aws/sso/cache/token.json", "credentials"),
    ("home/ubuntu/.bash_history", "history"),
    ("root/.python_history", "history"),
    ("var/lib/cloud/instances/i-0123456789abcdef0/user-data.txt", "cloud-init"),
    ("etc/machine-id", "machine-id"),
    ("var/lib/dbus/machine-id", "machine-id"),
    ("var/lib/systemd/random-seed", "random seed"),
    ("var/log/syslog", "logs"),
    ("var/log/amazon/ssm/agent.log", "logs"),
]


@pytest.mark.parametrize(("path", "name"), LEFT)
def test_what_is_left_over_is_named_with_its_mend_and_cleaned(root: Path, path: str, name: str) -> None:
    put(root, path)
    found = failed(root)
    assert list(found) == [name]
    error = found[name].error
    assert error is not None
    assert error.why
    assert error.mend == CLEAN
    folder = "/".join(path.split("/")[:3])
    assert folder in error.what or path.rpartition("/")[2] in error.what, error.what
    subprocess.run(["bash", str(CLEAN_SH)], env={**os.environ, "RUNCTL_ROOT": str(root)}, check=True, capture_output=True)
    assert failed(root) == {}


def test_several_are_counted(root: Path) -> None:
    for kind in ("rsa", "ecdsa", "ed25519"):
        put(root, f"etc/ssh/ssh_host_{kind}_key")
    assert "/etc/ssh/ssh_host_ecdsa_key and 2 more would be in the image" in str(failed(root)["host keys"])


@pytest.mark.parametrize("text", ["", "uninitialized\n"])
def test_a_machine_id_that_a_boot_makes_is_well(root: Path, text: str) -> None:
    put(root, "etc/machine-id", text)
    assert failed(root) == {}


def test_none_at_all_is_well_too(root: Path) -> None:
    (root / "etc/machine-id").unlink()
    link(root, "var/lib/dbus/machine-id", "/etc/machine-id")
    assert failed(root) == {}


def gone(path: str) -> Callable[[Path], None]:
    return lambda root: (root / path).unlink()


def written(path: str, text: str) -> Callable[[Path], object]:
    return lambda root: put(root, path, text)


def a_folder_for_the_link(root: Path) -> None:
    (root / "opt/runctl").unlink()
    (root / "opt/runctl").mkdir()


def somebody_elses_command(root: Path) -> None:
    (root / "usr/local/bin/runctl").unlink()
    link(root, "usr/local/bin/runctl", "/home/ubuntu/bin/runctl")


MISSING = [
    (gone("opt/runctl"), "agent", INSTALL),
    (a_folder_for_the_link, "agent", INSTALL),
    (gone(f"{HOME}/.complete"), "agent", INSTALL),
    (gone(f"{HOME}/sbom.json"), "agent", INSTALL),
    (lambda root: (root / HOME / "bin/runctl-agent").chmod(0o644), "agent", INSTALL),
    (gone("usr/local/bin/runctl-agent"), "commands", INSTALL),
    (somebody_elses_command, "commands", INSTALL),
    (gone(UNIT), "unit", INSTALL),
    (gone("etc/systemd/system/multi-user.target.wants/runctl-agent.service"), "unit", "systemctl enable"),
    (gone(LIMITS), "inotify", INSTALL),
    (written(LIMITS, "fs.inotify.max_user_watches = 1048576\n"), "inotify", INSTALL),
    (written(LIMITS, "fs.inotify.max_user_watches = many\nfs.inotify.max_user_instances = 1024\n"), "inotify", INSTALL),
    (written(LIMITS, "fs.inotify.max_user_watches = 8192\nfs.inotify.max_user_instances = 1024\n"), "inotify", INSTALL),
]


@pytest.mark.parametrize(("taken", "name", "mend"), MISSING)
def test_what_is_missing_is_named_with_its_mend(root: Path, taken: Callable[[Path], object], name: str, mend: str) -> None:
    taken(root)
    found = failed(root)
    assert list(found) == [name]
    error = found[name].error
    assert error is not None
    assert error.what
    assert error.why
    assert mend in error.mend


def test_what_cannot_be_read_fails_and_stops_nothing_else(root: Path) -> None:
    (root / LIMITS).unlink()
    (root / LIMITS).mkdir()
    assert list(failed(root)) == ["inotify"]
    assert "could not be examined" in str(failed(root)["inotify"])
