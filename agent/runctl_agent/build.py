"""Of which commit this is: baked in when a wheel is built (hatch_build.py); a checkout asks its git."""

from __future__ import annotations

import os
import subprocess

from . import __version__

HERE = os.path.dirname(os.path.abspath(__file__))
BAKED = os.path.join(HERE, "commit.txt")
PATIENCE = 10.0
"""Seconds for git, which may wait for a file system."""


def version_of(program: str) -> str:
    """What `PROGRAM --version` says."""
    return f"{program} {__version__} ({described()})"


def described() -> str:
    """Twelve hex digits, `-dirty` after them where the tree was changed; in words where there is no commit. Never raises."""
    try:
        with open(BAKED, encoding="ascii") as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError):
        return _asked() or "of no commit"


def _asked() -> str:
    argv = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(argv, cwd=HERE, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
