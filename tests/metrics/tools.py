"""Prometheus' own tools: those in the PATH, else Debian's packages, unpacked beside the tests' Python and not installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

KEPT = Path(sys.prefix) / "prometheus"
PACKAGES = {"promtool": "prometheus", "prometheus-node-exporter": "prometheus-node-exporter"}
NAMES = {"promtool": ("promtool",), "prometheus-node-exporter": ("node_exporter", "prometheus-node-exporter")}


def tool(name: str) -> str:
    """The path of the program. Raises AssertionError, with the reason, where it can't be had."""
    for known in NAMES[name]:
        if found := shutil.which(known):
            return found
    program = KEPT / "usr" / "bin" / name
    if not program.exists():
        _unpack(PACKAGES[name])
    assert program.exists(), f"the package {PACKAGES[name]} has no {name}"
    return str(program)


def _unpack(package: str) -> None:
    """Installed they would start as services."""
    assert shutil.which("apt-get"), f"{package} is missing, and there is no apt-get to fetch it: put its programs into the PATH"
    KEPT.mkdir(exist_ok=True)
    if _run("apt-get", "-q", "download", package).returncode != 0:
        _run("apt-get", "-q", "update")
        done = _run("apt-get", "-q", "download", package)
        assert done.returncode == 0, f"apt-get download {package}: {done.stderr}"
    for archive in KEPT.glob(f"{package}_*.deb"):
        done = _run("dpkg-deb", "-x", str(archive), str(KEPT))
        archive.unlink()
        assert done.returncode == 0, done.stderr


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=KEPT, capture_output=True, text=True, check=False, timeout=280)
