from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runctl_simulator.cloud import Cloud
from tests.e2e.operator import Operator
from tests.e2e.seaweed import S3


@pytest.fixture
def operator(tmp_path: Path, s3: S3, cloud: Cloud) -> Iterator[Operator]:
    folder = tmp_path / "code"
    folder.mkdir()
    operator = Operator(folder, s3, cloud)
    try:
        yield operator
    finally:
        operator.close()
