"""File systems for a test alone, unmounted at its end whoever still uses them. Needs root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def tmpfs(point: Path, options: str) -> Iterator[Path]:
    """With options of tmpfs(5)."""
    with mounted(point, "-t", "tmpfs", "-o", options, "runctl"):
        yield point


@contextmanager
def mounted(point: Path, *arguments: str) -> Iterator[Path]:
    """What `arguments` of mount(8) say, at `point`."""
    assert os.geteuid() == 0, "these tests mount file systems: run `make faults` as root"
    point.mkdir(exist_ok=True)
    done("mount", *arguments, str(point))
    try:
        yield point
    finally:
        done("umount", "--lazy", str(point))


def done(*argv: str) -> str:
    """What a command says; AssertionError, with its complaint, where it fails."""
    ran = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"{' '.join(argv)}: {ran.stderr}"
    return ran.stdout
