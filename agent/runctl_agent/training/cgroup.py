"""Cgroups: how often the kernel killed for want of memory in this process's own, and who is in that of a unit."""

from __future__ import annotations

import re

WORKER = b"runctl_agent.training.worker"
"""What a unit's own process is run as."""

_V2 = re.compile(r"^0::(/.*)$", re.MULTILINE)
_V1 = re.compile(r"^\d+:(?:[^:\n]*,)?memory(?:,[^:\n]*)?:(/.*)$", re.MULTILINE)
_MANAGED = re.compile(r"\d+:(?:name=systemd)?:(/.*)$")
_KILLS = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


def oom_kills(proc: str = "/proc", mount: str = "/sys/fs/cgroup") -> int | None:
    """The counter `oom_kill` of memory.events (cgroup v2, with all below) or memory.oom_control (v1); None: not readable."""
    try:
        with open(f"{proc}/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            own = file.read()
    except OSError:
        return None
    found: int | None = None
    for pattern, controller, name in ((_V1, "/memory", "memory.oom_control"), (_V2, "", "memory.events")):
        match = pattern.search(own)
        if match is not None and found is None:
            found = _kills(f"{mount}{controller}{match[1].rstrip('/')}/{name}")
    return found


def in_unit(pid: int, unit: str, proc: str = "/proc") -> bool:
    """Whether a process is in the cgroup of the service `unit`, and not its worker, which only waits there.

    systemd's hierarchy is `0::` (v2) or `name=systemd` (v1); cgroups(7), /proc/PID/cgroup.
    """
    try:
        with open(f"{proc}/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            paths = [path for path in map(_MANAGED.match, file) if path is not None]
        if not any(f"{unit}.service" in path[1].split("/") for path in paths):
            return False
        with open(f"{proc}/{pid}/cmdline", "rb") as file:
            return WORKER not in file.read(4096).split(b"\0")
    except OSError:
        return False


def _kills(path: str) -> int | None:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            match = _KILLS.search(file.read())
    except (OSError, ValueError):  # ValueError: what stands there is no path
        return None
    return int(match[1]) if match is not None else None
