"""The bill of materials of the environment that runs these tests: as CycloneDX's own schema has it, and true."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from runctl_agent.build import described
from tests.packer.scripts import PACKER, script

LOCK = PACKER / "requirements.lock"


@pytest.fixture(scope="module")
def text() -> str:
    argv = [sys.executable, "-I", str(PACKER / "sbom.py"), str(LOCK)]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def bill(text: str) -> dict[str, Any]:
    return dict(json.loads(text))


@pytest.fixture
def sbom() -> ModuleType:
    return script("sbom")


def test_it_is_cyclonedx(text: str) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(text) is None
    broken = text.replace('"type": "platform"', '"type": "plattform"')
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(broken) is not None, "who says yes to all would prove nothing"


def test_it_says_what_is_here(bill: dict[str, Any]) -> None:
    assert bill["metadata"]["component"]["version"] == f"0.1.0 ({described()})"
    parts = {part["name"]: part for part in bill["components"]}
    assert parts["boto3"]["version"] == version("boto3")
    assert parts["boto3"]["purl"] == f"pkg:pypi/boto3@{version('boto3')}"
    assert parts["cpython"]["version"] == ".".join(map(str, sys.version_info[:3]))
    assert "runctl" not in parts, "it is what the bill is of"
    assert not {"pip", "setuptools"} & set(parts), "removed once they are done"
    assert len({part["bom-ref"] for part in bill["components"]}) == len(bill["components"])


def test_the_same_environment_has_the_same_bill(text: str, tmp_path: Path) -> None:
    copy = tmp_path / "requirements.lock"
    copy.write_bytes(LOCK.read_bytes())
    argv = [sys.executable, "-I", str(PACKER / "sbom.py"), str(copy)]
    assert subprocess.run(argv, check=True, capture_output=True, text=True).stdout == text


def test_every_part_of_the_lock_has_its_hashes(sbom: ModuleType) -> None:
    found = sbom.hashes(LOCK.read_text())
    locked = {
        line.partition("==")[0] for line in LOCK.read_text().splitlines() if "==" in line and not line.startswith(("#", " "))
    }
    assert set(found) - {""} == locked
    assert all(found[name] for name in locked)


def test_hashes_go_to_the_one_they_stand_under(sbom: ModuleType) -> None:
    a, b, c = (letter * 64 for letter in "abc")
    lock = f"# made by\nOne_a==1.0 ; sys_platform == 'linux' \\\n    --hash=sha256:{a} \\\n    --hash=sha256:{b}\n    # via x\n"
    lock += f"two[extra]==2.0 --hash=sha256:{c}\n"
    assert sbom.hashes(lock) == {"": [], "one-a": [a, b], "two": [c]}
