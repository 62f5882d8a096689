"""What a simulated instance finds on its root disk: the image's own files, and commands that can't reach the host."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

BIN = Path(sys.executable).parent
SPEC = "etc/runctl/run.yaml"
STATE = "var/lib/runctl"
STOPPING = "run/stopping"
"""There while the machine shuts down, as systemd's own state says it."""

_SAY = """#!/bin/sh
echo {word} > {fifo}
"""
_SHUTDOWN = """#!/bin/sh
for argument; do case $argument in -r | --reboot) exec {bin}/reboot ;; -H | --halt) exec {bin}/halt ;; esac; done
exec {bin}/poweroff
"""
_SYSTEMCTL = """#!/bin/sh
for argument; do case $argument in poweroff | reboot | halt) exec {bin}/$argument ;; esac; done
if [ "$1" = is-system-running ]; then
  if [ -e {stopping} ]; then echo stopping; exit 1; fi
  echo running; exit 0
fi
echo "systemctl $*: this instance has no systemd" >&2
exit 1
"""


def login_user() -> str:
    return getpass.getuser()


def make_root(root: Path) -> None:
    """A fresh disk. The power commands come first on PATH and tell init, poweroff(8)."""
    bin_ = root / "usr/sbin"
    for folder in (bin_, root / "etc/runctl", root / STATE, root / "run/runctl", root / "tmp", home(root)):
        folder.mkdir(parents=True)
    os.chmod(root / "run", 0o700)
    for word in ("poweroff", "reboot", "halt"):
        _script(bin_ / word, _SAY.format(word=word, fifo=_quoted(root / "run/initctl")))
    _script(bin_ / "shutdown", _SHUTDOWN.format(bin=_quoted(bin_)))
    _script(bin_ / "systemctl", _SYSTEMCTL.format(bin=_quoted(bin_), stopping=_quoted(root / STOPPING)))
    for name in (".bash_profile", ".profile"):  # a login shell has just set PATH anew from the host's /etc/profile
        (home(root) / name).write_text(f'export PATH={_quoted(bin_)}:{_quoted(BIN)}:"$PATH"\n')


def home(root: Path) -> Path:
    return root / "home" / login_user()


def environment(root: Path) -> dict[str, str]:
    """What does not change from boot to boot. The host's system bus is out of reach, for logind would power it off."""
    user = login_user()
    return {
        "PATH": f"{root / 'usr/sbin'}:{BIN}:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(home(root)),
        "USER": user,
        "LOGNAME": user,
        "SHELL": "/bin/bash",
        "TMPDIR": str(root / "tmp"),
        "RUNTIME_DIRECTORY": str(root / "run/runctl"),
        "XDG_RUNTIME_DIR": str(root / "run"),
        "RUNCTL_LOGIN_USER": user,
        "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={root / 'run/no-bus'}",
        "SYSTEMD_OFFLINE": "1",
    }


def agent_command(root: Path) -> list[str]:
    return [str(BIN / "runctl-agent"), "run", "--config", str(root / SPEC), "--state-dir", str(root / STATE)]


def _script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "'\\''") + "'"
