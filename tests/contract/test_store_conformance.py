"""One suite on every store used: SeaweedFS, moto's S3, and the one in memory."""

from __future__ import annotations

import pytest

from runctl_agent.store.objects import ObjectStore
from tests.contract.store_suite import ExactingStoreSuite, StoreSuite
from tests.e2e.seaweed import S3
from tests.fakes.memory_store import MemoryStore


class TestSeaweedFS(ExactingStoreSuite):
    @pytest.fixture
    def store(self, s3: S3) -> ObjectStore:
        return s3.store()

    @pytest.fixture
    def prefix(self, s3: S3) -> str:
        return s3.prefix


class TestMoto(StoreSuite):
    """Not exacting: moto accepts wrong checksums."""

    @pytest.fixture
    def store(self, moto_s3: S3) -> ObjectStore:
        return moto_s3.store()

    @pytest.fixture
    def prefix(self, moto_s3: S3) -> str:
        return moto_s3.prefix


class TestMemory(ExactingStoreSuite):
    @pytest.fixture
    def store(self) -> ObjectStore:
        return MemoryStore()

    @pytest.fixture
    def prefix(self) -> str:
        return "team/run"
