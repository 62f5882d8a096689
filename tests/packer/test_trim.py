"""Of botocore's data what is called is kept, and everything that the agent and the controller call works on what is kept."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import boto3
import botocore
import pytest

from tests.packer.scripts import PACKER, script

BOTOCORE, BOTO3 = (Path(module.__file__ or "").parent for module in (botocore, boto3))


@pytest.fixture
def trim() -> ModuleType:
    return script("trim")


@pytest.fixture
def site(trim: ModuleType, tmp_path: Path) -> Path:
    """A botocore of its own, with one service more than is kept."""
    keep = {*trim.SERVICES, "dynamodb"}

    def others(folder: str, names: list[str]) -> list[str]:
        at_data = Path(folder) == BOTOCORE / "data"
        return [
            name
            for name in names
            if name == "__pycache__" or (at_data and name not in keep and (BOTOCORE / "data" / name).is_dir())
        ]

    for package in (BOTOCORE, BOTO3):
        shutil.copytree(package, tmp_path / package.name, ignore=others)
    return tmp_path


def test_what_is_kept_is_enough(site: Path) -> None:
    data = site / "botocore" / "data"
    files = {path.name for path in data.iterdir() if path.is_file()}
    argv = [sys.executable, "-c", f"import sys; sys.prefix = {str(site)!r}; sys.argv = ['trim.py']; import trim; trim.main()"]
    environ = {**os.environ, "PYTHONPATH": f"{site}:{PACKER}", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (data / "dynamodb").exists()
    assert {path.name for path in data.iterdir() if path.is_file()} == files, "endpoints, partitions, retries"


def test_what_is_missing_is_seen_at_once(site: Path) -> None:
    """Not at the first checkpoint."""
    shutil.rmtree(site / "botocore" / "data" / "s3")
    environ = {**os.environ, "PYTHONPATH": f"{site}:{PACKER}", "PYTHONDONTWRITEBYTECODE": "1"}
    argv = [sys.executable, "-c", "import trim; trim.prove()"]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "s3" in done.stderr


def test_every_service_that_is_called_is_kept(trim: ModuleType) -> None:
    called: set[str] = set()
    for folder in ("agent", "controller"):
        for path in (PACKER.parent / folder).rglob("*.py"):
            called |= set(re.findall(r"\b_?client\(\s*\"([a-z][a-z0-9-]+)\"", path.read_text()))
    assert called >= {"autoscaling", "ec2", "ecr", "iam", "pricing", "service-quotas", "sts"}, "and s3, by a parameter"
    assert called | {"s3"} <= set(trim.SERVICES)


def test_another_environments_is_left_alone(trim: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(SystemExit, match="left alone\n  mend: "):
        trim.main()
    assert (BOTOCORE / "data" / "dynamodb").exists()
