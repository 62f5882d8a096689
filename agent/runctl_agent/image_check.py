"""`runctl-agent doctor --image`: whether a machine is fit to be an image: the agent is there, and nothing of this one machine.

packer/install.sh puts the one there, packer/clean.sh takes the other away. What is judged is the files below a root, so that a
mounted image can be judged too; only `systemd-analyze` is run, and only where the root is our own.
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial

from .disk.roots import MORE_INSTANCES, MORE_WATCHES
from .errors import WrongStateError
from .finding import Finding, find

CLEAN = "packer/install.sh --clean, as the last step"
INSTALL = "packer/install.sh --wheel FILE"

UNIT = "etc/systemd/system/runctl-agent.service"
WANTED = "etc/systemd/system/multi-user.target.wants/runctl-agent.service"
LIMITS = "etc/sysctl.d/60-runctl.conf"
LEAST = {"fs.inotify.max_user_watches": (1048576, MORE_WATCHES), "fs.inotify.max_user_instances": (1024, MORE_INSTANCES)}


def examine(root: str) -> list[Finding]:
    """Every check, in the order of the installation."""
    absent = {
        "run spec": (("etc/runctl/run.yaml",), "every machine of the image would begin that run"),
        "state": (("var/lib/runctl/*",), "an agent goes on with the journal of the one before"),
        "journal": (
            ("var/log/journal/*/*.journal*", "run/log/journal/*/*.journal*"),
            "what this machine logged is nobody else's",
        ),
        "host keys": (
            ("etc/ssh/ssh_host_*_key",),
            "all machines would have the same, known to whoever has the image",
        ),
        "authorized keys": (
            tuple(_homes(root, ".ssh/authorized_keys*")),
            "who holds the keys to them enters every machine",
        ),
        "credentials": (tuple(_homes(root, ".aws/*")), "whoever has the image has them, and may do what they may"),
        "history": (tuple(_homes(root, ".*_history")), "what was typed here is nobody else's"),
        "cloud-init": (("var/lib/cloud/instances/*",), "it would take a new machine for this one, and not apply its user-data"),
        "random seed": (("var/lib/systemd/random-seed",), "all machines would begin with the same"),
    }
    return [
        find("agent", partial(_agent, root)),
        find("commands", partial(_commands, root)),
        find("unit", partial(_unit, root)),
        find("inotify", partial(_limits, root)),
        *(find(name, partial(_absent, root, name, patterns, why)) for name, (patterns, why) in absent.items()),
        find("machine-id", partial(_machine_id, root)),
        find("logs", partial(_logs, root)),
    ]


def _agent(root: str) -> str:
    """Also its Python: a version that the interpreter can't run would not have got here."""
    link = os.path.join(root, "opt/runctl")
    if not os.path.islink(link):
        raise WrongStateError("there is no agent in /opt/runctl", "it is no link to an installed version", INSTALL)
    home = os.path.join(root, "opt", os.path.basename(os.readlink(link)))
    if not os.path.exists(os.path.join(home, ".complete")):
        raise WrongStateError(f"{home} is half an installation", "it has no .complete", INSTALL)
    if not os.path.exists(os.path.join(home, "sbom.json")):
        raise WrongStateError("nothing says what the agent is made of", f"{home} has no sbom.json", INSTALL)
    if not os.access(os.path.join(home, "bin/runctl-agent"), os.X_OK):
        raise WrongStateError(f"{home} has no agent", "bin/runctl-agent can't be executed", INSTALL)
    python = next((line for line in _lines(os.path.join(home, "pyvenv.cfg")) if line.startswith("version")), "version = unknown")
    return f"{os.path.basename(home)}, Python {python.partition('=')[2].strip()}"


def _commands(root: str) -> str:
    for name in ("runctl-agent", "runctl"):
        target = f"/opt/runctl/bin/{name}"
        link = os.path.join(root, "usr/local/bin", name)
        if not os.path.islink(link) or os.readlink(link) != target:
            raise WrongStateError(f"/usr/local/bin/{name} is not the agent's", f"it is no link to {target}", INSTALL)
    return "runctl-agent and runctl are in /usr/local/bin"


def _unit(root: str) -> str:
    if not os.path.exists(os.path.join(root, UNIT)):
        raise WrongStateError("systemd knows no agent", f"there is no /{UNIT}", INSTALL)
    if not os.path.islink(os.path.join(root, WANTED)):
        raise WrongStateError("no boot starts the agent", "its unit is not enabled", "systemctl enable runctl-agent.service")
    if os.path.realpath(root) != "/" or shutil.which("systemd-analyze") is None:
        return "enabled; not verified: that needs the image's own systemd"
    argv = ["systemd-analyze", "verify", "/" + UNIT]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode or done.stderr:  # a warning is exit code 0
        raise WrongStateError("systemd finds fault with the unit", done.stderr.strip(), "correct it, and install again")
    return "enabled, and systemd finds no fault with it"


def _limits(root: str) -> str:
    """What the next boot sets (sysctl.d(5)), not what is now: that is `doctor` without --image."""
    pairs = (line.partition("=") for line in _lines(os.path.join(root, LIMITS)))
    found = {name.strip(): value.strip() for name, equal, value in pairs if equal}
    for name, (least, mend) in LEAST.items():
        value = found.get(name, "")
        if not value.isdecimal() or int(value) < least:
            why = f"/{LIMITS} does not raise it to {least}"
            raise WrongStateError(f"{name} stays as the kernel chose it", why, f"{INSTALL}; for now: {mend}")
    return ", ".join(f"{name.rpartition('.')[2]} {value}" for name, value in sorted(found.items()))


def _absent(root: str, name: str, patterns: tuple[str, ...], why: str) -> str:
    found = [path for pattern in patterns for path in sorted(glob.glob(os.path.join(root, pattern), include_hidden=True))]
    if found:
        raise WrongStateError(f"{name}: {_listed(found)} would be in the image", why, CLEAN)
    return "none"


def _machine_id(root: str) -> str:
    """machine-id(5): empty, absent or `uninitialized`, it is made at the boot."""
    text = "".join(_lines(os.path.join(root, "etc/machine-id"))).strip()
    if text and text != "uninitialized":
        why = "all machines of the image would be the same one to DHCP, the journal and whoever goes by it"
        raise WrongStateError("/etc/machine-id is this machine's", why, CLEAN)
    if os.path.isfile(bus := os.path.join(root, "var/lib/dbus/machine-id")) and not os.path.islink(bus):
        raise WrongStateError("/var/lib/dbus/machine-id is this machine's", "it is taken where the other is empty", CLEAN)
    return "made at the boot"


def _logs(root: str) -> str:
    full = [path for path in _files(os.path.join(root, "var/log")) if os.path.getsize(path) and ".journal" not in path]
    if full:
        raise WrongStateError(f"logs: {_listed(full)} would be in the image", "what this machine logged is nobody else's", CLEAN)
    return "all empty"


def _homes(root: str, below: str) -> Iterator[str]:
    """Patterns, as of a path below the root."""
    for line in _lines(os.path.join(root, "etc/passwd")):
        fields = line.split(":")
        if len(fields) > 5 and fields[5].strip("/"):
            yield os.path.join(glob.escape(fields[5].strip("/")), below)


def _files(folder: str) -> Iterator[str]:
    for at, _, names in os.walk(folder):
        yield from (path for name in sorted(names) if not os.path.islink(path := os.path.join(at, name)))


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except FileNotFoundError:
        return []


def _listed(paths: list[str]) -> str:
    return f"{paths[0]}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}"
