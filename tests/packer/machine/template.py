"""The template as Packer 1.6.6 knows it: less what it does not know, which tests/packer/test_files.py parses."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.systemd.nspawn import REPOSITORY

PACKER = REPOSITORY / "packer"
UNKNOWN = "  # --- from here to the end"


def packer(*argv: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    if shutil.which("packer") is None:
        for get in (["update"], ["install", "-y", "--no-install-recommends", "packer"]):
            subprocess.run(["apt-get", "-q", *get], check=True, capture_output=True, timeout=600)
    environ = {**os.environ, "CHECKPOINT_DISABLE": "1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    argv = ("packer", *argv)
    return subprocess.run(argv, env=environ, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


def known(folder: Path, source_ami: str, more: str = "") -> Path:
    """packer/ as it is, but for the source, which has `more` in place of what is unknown; in `folder`, with what it uploads."""
    made = folder / "packer"
    shutil.copytree(PACKER, made)
    shutil.copytree(REPOSITORY / "systemd", folder / "systemd")
    (made / "plugins.pkr.hcl").unlink()
    source = made / "source.pkr.hcl"
    text, mark, _ = source.read_text().partition(UNKNOWN)
    assert mark
    source.write_text(f"{text}{more}}}\n")
    (made / "base.pkr.hcl").write_text(f'locals {{ source_ami = "{source_ami}" }}\n')
    return made


def variables(**given: str) -> list[str]:
    return [word for name, value in given.items() for word in ("-var", f"{name}={value}")]
