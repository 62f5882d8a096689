"""How often the kernel killed for want of memory in this process's cgroup."""

from __future__ import annotations

import re

_V2 = re.compile(r"^0::(/.*)$", re.MULTILINE)
_V1 = re.compile(r"^\d+:(?:[^:\n]*,)?memory(?:,[^:\n]*)?:(/.*)$", re.MULTILINE)
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


def _kills(path: str) -> int | None:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            match = _KILLS.search(file.read())
    except OSError:
        return None
    return int(match[1]) if match is not None else None
