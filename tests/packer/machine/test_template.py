"""The template by Debian's Packer, 1.6.6: all but what it does not know, which tests/packer/test_files.py parses."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.systemd.nspawn import REPOSITORY

PACKER = REPOSITORY / "packer"
UNKNOWN = "  # --- from here to the end"


def packer(*argv: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("packer") is None:
        for get in (["update"], ["install", "-y", "--no-install-recommends", "packer"]):
            subprocess.run(["apt-get", "-q", *get], check=True, capture_output=True, timeout=600)
    environ = {**os.environ, "CHECKPOINT_DISABLE": "1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    return subprocess.run(["packer", *argv], env=environ, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def template(tmp_path: Path) -> Path:
    folder = tmp_path / "packer"
    for made in (folder, tmp_path / "systemd"):
        made.mkdir()
    for name in ("variables", "build"):
        shutil.copy(PACKER / f"{name}.pkr.hcl", folder)
    known, mark, _ = (PACKER / "source.pkr.hcl").read_text().partition(UNKNOWN)
    assert mark
    (folder / "source.pkr.hcl").write_text(known + "}\n")
    (folder / "base.pkr.hcl").write_text('locals { source_ami = "ami-0123456789abcdef0" }\n')
    (folder / "runctl-0.1.0-py3-none-any.whl").write_text("")
    return folder


def validate(template: Path, **given: str) -> subprocess.CompletedProcess[str]:
    values = {"wheel": f"{template}/runctl-0.1.0-py3-none-any.whl", "agent_version": "0.1.0", "commit": "330b291fb1bb", **given}
    return packer("validate", *(word for name, value in values.items() for word in ("-var", f"{name}={value}")), str(template))


def test_it_is_formatted() -> None:
    done = packer("fmt", "-check", "-diff", str(PACKER))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("architecture", ["x86_64", "arm64"])
@pytest.mark.parametrize("base", ["ubuntu-22.04", "ubuntu-24.04", "amazon-linux-2023"])
def test_it_is_valid(template: Path, base: str, architecture: str) -> None:
    done = validate(template, base=base, architecture=architecture)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("base", "beos"),
        ("architecture", "vax"),
        ("source_ami", "mine"),
        ("wheel", "/a.whl"),
        ("commit", "zzz"),
        ("volume_size", "1"),
    ],
)
def test_a_wrong_value_is_refused_in_words(template: Path, name: str, value: str) -> None:
    done = validate(template, **{name: value})
    assert done.returncode == 1
    assert f"The {name}" in done.stdout + done.stderr
