"""One suite on every store used: SeaweedFS, moto's S3, and the one in memory."""

from __future__ import annotations

import pytest

from runctl_agent.store.objects import ObjectStore
from tests.contract.store_place import PART, Lack
from tests.contract.store_suite import StoreSuite
from tests.e2e.seaweed import S3
from tests.fakes.memory_store import MemoryStore


class TestSeaweedFS(StoreSuite):
    lacks = frozenset({Lack.SIZE_OF_THE_WHOLE})

    @pytest.fixture
    def store(self, s3: S3) -> ObjectStore:
        return s3.store()

    @pytest.fixture
    def prefix(self, s3: S3) -> str:
        return s3.prefix


class TestMoto(StoreSuite):
    """Good for a demo, not for a proof."""

    lacks = frozenset(Lack)

    @pytest.fixture
    def store(self, moto_s3: S3) -> ObjectStore:
        return moto_s3.store()

    @pytest.fixture
    def prefix(self, moto_s3: S3) -> str:
        return moto_s3.prefix


class TestMemory(StoreSuite):
    @pytest.fixture
    def store(self) -> ObjectStore:
        return MemoryStore(smallest_part=PART)

    @pytest.fixture
    def prefix(self) -> str:
        return "team/run"
