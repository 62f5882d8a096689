"""packer/ without a machine: every file parses, the scripts are clean, the lock is in step with pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import hcl2

from tests.packer.page import COMMANDS, NOT_RUN, RUN

PACKER = Path(__file__).parents[2] / "packer"


def test_the_template_demands_imdsv2_and_an_encrypted_disk() -> None:
    whole = {path.name: hcl2.loads(path.read_text()) for path in sorted(PACKER.glob("*.pkr.hcl"))}
    assert set(whole) == {"build.pkr.hcl", "plugins.pkr.hcl", "source.pkr.hcl", "variables.pkr.hcl"}
    text = str(whole["source.pkr.hcl"]).replace('"', "").replace("'", "")
    for wanted in ("http_tokens: required", "imds_support: v2.0", "encrypted: True", "volume_type: gp3", "runctl:agent-version"):
        assert wanted in text.replace("true", "True"), wanted
    for variable in whole["variables.pkr.hcl"]["variable"]:
        ((_, settings),) = variable.items()
        assert settings["description"]


def test_every_command_of_its_page_is_run_by_a_test() -> None:
    """In tests/packer/machine, as it stands."""
    assert set(COMMANDS) == {*RUN, NOT_RUN}
    machine = "".join(path.read_text() for path in (Path(__file__).parent / "machine").glob("*.py"))
    for name in ("WHEEL", "BUILD", "INSTALL", "CLEAN", "DOCTOR", "DOWNLOAD", "OFFLINE", "VERSION", "UNINSTALL"):
        assert f"page.{name}" in machine, name


IMPORTED_AS = {"pyyaml": "yaml", "nvidia-ml-py": "pynvml"}
IN_AN_IMAGE = ("gpu", "compress")
"""Extras: what the demo and the tests need is not there."""


def wanted() -> set[str]:
    project = tomllib.loads((PACKER.parent / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    listed = [*project["dependencies"], *(one for extra in IN_AN_IMAGE for one in extras[extra])]
    return {re.split(r"[\[<>=~! ;]", one)[0] for one in listed}


def test_the_lock_is_of_this_pyproject() -> None:
    lock = (PACKER / "requirements.lock").read_text()
    entries = re.split(r"\n(?=[a-z0-9-]+==)", lock)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)
    direct = {entry.partition("==")[0] for entry in entries if re.search(r"# +(via )?runctl \(pyproject.toml\)", entry)}
    assert direct == wanted()


def test_nothing_is_installed_that_is_not_imported() -> None:
    """Whatever is in an image has to be trusted, and watched for advisories."""
    sources = [path.read_text() for part in ("agent", "controller") for path in (PACKER.parent / part).rglob("*.py")]
    imported = {
        found for text in sources for found in re.findall(r"(?:^\s*(?:import|from) |import_module\(\")(\w+)", text, re.MULTILINE)
    }
    assert {IMPORTED_AS.get(name, name) for name in wanted()} <= imported
