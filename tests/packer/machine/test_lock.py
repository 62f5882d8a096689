"""The lock on every machine that an image is built for: a wheel for each requirement, by its hash; nothing is compiled there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.packer.machine.template import PACKER

UV = str(Path(sys.executable).with_name("uv"))
LEAST_GLIBC = "manylinux_2_34"
"""Amazon Linux 2023's; Ubuntu 22.04 has 2.35."""


def installable(machine: str, python: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Asks PyPI, and installs nothing."""
    argv = [UV, "pip", "install", "-q", "--dry-run", "--target", str(folder), "--no-deps", "--require-hashes"]
    argv += ["--only-binary", ":all:", "--python-platform", machine, "--python-version", python]
    argv += ["-r", str(PACKER / "requirements.lock")]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_there_is_a_wheel_of_everything(machine: str, python: str, tmp_path: Path) -> None:
    done = installable(f"{machine}-{LEAST_GLIBC}", python, tmp_path)
    assert done.returncode == 0, done.stderr


def test_where_there_is_none_it_would_be_seen(tmp_path: Path) -> None:
    done = installable("riscv64-unknown-linux", "3.12", tmp_path)
    assert done.returncode == 1
    assert "has no usable wheels" in done.stderr
