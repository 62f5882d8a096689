"""What one process cost: CPU, memory, time, with all its children."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """CPU in seconds, user and system, of the process and the children it waited for; the largest of them in MiB."""

    wall_s: float
    user_s: float
    system_s: float
    rss_mib: float

    @property
    def cpu_s(self) -> float:
        return self.user_s + self.system_s


def cost_of(command: Sequence[str | Path], env: Mapping[str, str], cwd: Path | None = None) -> Cost:
    """Run to the end. Raises RuntimeError with the last of its output if it fails."""
    with tempfile.TemporaryFile() as output:
        began = time.monotonic()
        process = subprocess.Popen(command, env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        _, status, used = os.wait4(process.pid, 0)
        took = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            said = output.read().decode(errors="replace")[-3000:]
            raise RuntimeError(f"{command[0]} ended with {process.returncode}: {said}")
    return Cost(took, used.ru_utime, used.ru_stime, used.ru_maxrss / 1024)


def warm(files: Sequence[Path]) -> None:
    """Into the page cache, so that no client waits for the disk more than another."""
    room = bytearray(1 << 20)
    for path in files:
        with path.open("rb", buffering=0) as file:
            while file.readinto(room):
                pass


def bare_env(more: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without the machine's own AWS settings and proxies."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_") and "proxy" not in name.lower()}
    return kept | {"PYTHONDONTWRITEBYTECODE": "1"} | dict(more)


def python() -> str:
    return sys.executable
