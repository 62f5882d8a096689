from __future__ import annotations

from collections.abc import Iterator

import pytest

from runctl_simulator.cloud import Cloud
from tests.e2e.seaweed import S3

from .account import Account


@pytest.fixture
def account(cloud: Cloud, s3: S3) -> Iterator[Account]:
    account = Account(cloud, s3.destination)
    try:
        yield account
    finally:
        account.close()
