"""The stage, as a fixture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.controller.stage import Stage
from tests.e2e.seaweed import S3


@pytest.fixture
def stage(tmp_path: Path, s3: S3, _moto: str) -> Iterator[Stage]:
    folder = tmp_path / "project"
    folder.mkdir()
    found = Stage(folder, s3, _moto)
    try:
        yield found
    finally:
        found.close()
