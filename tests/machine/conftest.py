"""One image for all tests of this folder; an instance of its own for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.controller.stage import Stage
from tests.e2e.seaweed import S3
from tests.machine.image import Image, image
from tests.machine.instance import Instance, instance


@pytest.fixture(scope="session")
def baked(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Image]:
    base = tmp_path_factory.getbasetemp()
    with image((base if worker_id == "master" else base.parent) / "image") as made:
        yield made


@pytest.fixture
def stage(tmp_path: Path, s3: S3, moto_s3: S3) -> Iterator[Stage]:
    folder = tmp_path / "code"
    folder.mkdir()
    made = Stage(folder, s3, moto_s3.endpoint)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def launched(tmp_path: Path, baked: Image, s3: S3, stage: Stage) -> Iterator[Instance]:
    with instance(tmp_path, baked, s3, stage) as made:
        yield made
