"""One engine for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.containers.podman import Engine, engine


@pytest.fixture(scope="session")
def _engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engine(tmp_path_factory.mktemp("podman")) as found:
        yield found


@pytest.fixture
def docker(_engine: Engine) -> Engine:
    for name in _engine.names():
        _engine.docker("container", "rm", "--force", name)
    return _engine
