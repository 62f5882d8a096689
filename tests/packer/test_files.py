"""packer/ without a machine: every file parses, the scripts are clean, the lock is in step with pyproject.toml."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import hcl2
import pytest

PACKER = Path(__file__).parents[2] / "packer"
SCRIPTS = sorted(PACKER.glob("*.sh"))


def test_the_template_demands_imdsv2_and_an_encrypted_disk() -> None:
    whole = {path.name: hcl2.loads(path.read_text()) for path in sorted(PACKER.glob("*.pkr.hcl"))}
    assert set(whole) == {"build.pkr.hcl", "plugins.pkr.hcl", "source.pkr.hcl", "variables.pkr.hcl"}
    text = str(whole["source.pkr.hcl"]).replace('"', "").replace("'", "")
    for wanted in ("http_tokens: required", "imds_support: v2.0", "encrypted: True", "volume_type: gp3", "runctl:agent-version"):
        assert wanted in text.replace("true", "True"), wanted
    for variable in whole["variables.pkr.hcl"]["variable"]:
        ((_, settings),) = variable.items()
        assert settings["description"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([shellcheck, "-x", script.name], cwd=PACKER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_lock_is_of_this_pyproject() -> None:
    lock = (PACKER / "requirements.lock").read_text()
    locked = set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))
    project = tomllib.loads((PACKER.parent / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["gpu"], *extras["compress"], *extras["metrics"]]
    assert {re.split(r"[\[<>=~! ;]", one)[0] for one in wanted} <= locked
    assert all("--hash=sha256:" in entry for entry in re.split(r"\n(?=[a-z0-9-]+==)", lock)[1:])
