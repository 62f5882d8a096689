"""The template as Packer 1.6.6 knows it: less what it does not know, which tests/packer/test_files.py parses."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests.systemd.nspawn import REPOSITORY

PACKER = REPOSITORY / "packer"
UNKNOWN = "  # --- from here to the end"


def packer(*argv: str) -> subprocess.CompletedProcess[str]:
    return packer_in_shell(shlex.join(("packer", *argv)))


def packer_in_shell(command: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    if shutil.which("packer") is None:
        for get in (["update"], ["install", "-y", "--no-install-recommends", "packer"]):
            subprocess.run(["apt-get", "-q", *get], check=True, capture_output=True, timeout=600)
    environ = {**as_in_a_checkout(), "CHECKPOINT_DISABLE": "1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    argv = ["bash", "-c", command]
    return subprocess.run(argv, env=environ, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


def told(command: str, folder: Path) -> None:
    """What a page says, in `folder`. Raises AssertionError."""
    argv = ["bash", "-c", command]
    done = subprocess.run(argv, env=as_in_a_checkout(), cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def as_in_a_checkout() -> dict[str, str]:
    """The virtual environment is on the PATH, and git is the repository's wherever it is asked."""
    argv = ["git", "rev-parse", "--absolute-git-dir"]
    git = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.strip()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "GIT_DIR": git, "GIT_WORK_TREE": str(REPOSITORY)}


def known(sources: Path, folder: Path, source_ami: str, more: str = "") -> Path:
    """A checkout whose packer/ 1.6.6 knows: as it is, but for the source, which has `more` in place of what is unknown."""
    folder.mkdir()
    for part in ("packer", "systemd", "dist"):
        if (sources / part).is_dir():
            shutil.copytree(sources / part, folder / part)
    (folder / "packer" / "plugins.pkr.hcl").unlink()
    source = folder / "packer" / "source.pkr.hcl"
    text, mark, _ = source.read_text().partition(UNKNOWN)
    assert mark
    source.write_text(f"{text}{more}}}\n")
    (folder / "packer" / "base.pkr.hcl").write_text(f'locals {{ source_ami = "{source_ami}" }}\n')
    return folder
