"""The agent is root's, the attacker another user of the machine, in a folder that both can reach."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attack.attacker import Attacker, Target
from tests.e2e.seaweed import S3


@pytest.fixture(scope="session", autouse=True)
def _root() -> None:
    if os.geteuid() != 0:
        pytest.fail("these tests need root: the agent is root's, and the attacker is not (sudo make attack)")


@pytest.fixture
def place() -> Iterator[Path]:
    """Everybody may go through it; what lies in it is for each test to say."""
    folder = Path(tempfile.mkdtemp(prefix="runctl-attack-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def attacker(place: Path) -> Attacker:
    return Attacker(place / "home")


@pytest.fixture
def target(place: Path, s3: S3, attacker: Attacker) -> Target:
    return Target(place, s3, attacker)
