"""The template by Debian's Packer, 1.6.6: all but what it does not know, which tests/packer/test_files.py parses."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.packer.machine.template import PACKER, known, packer
from tests.systemd.nspawn import REPOSITORY


@pytest.fixture
def template(tmp_path: Path) -> Path:
    made = known(REPOSITORY, tmp_path / "checkout", "ami-0123456789abcdef0") / "packer"
    (made / "runctl-0.1.0-py3-none-any.whl").write_text("")
    return made


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
