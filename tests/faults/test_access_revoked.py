"""A right is taken away in the middle of an upload, and given back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.bounded import denied
from tests.e2e.committed import committed
from tests.e2e.proxy import Proxy, answer
from tests.e2e.seaweed import BUCKET, S3
from tests.e2e.wired import Wired


@pytest.mark.parametrize(("operation", "key"), [("UploadPart", "/data/"), ("PutObject", "/manifests/")])
def test_halfway(tmp_path: Path, s3: S3, proxy: Proxy, operation: str, key: str) -> None:
    proxy.set(answer(403, "AccessDenied", operation, key=key, skip=1 if key == "/data/" else 0, message="Access Denied"))
    wired = Wired(tmp_path, s3, proxy)
    wired.save()
    with wired.running() as process:
        status = wired.agent.wait_for(lambda status: bool(denied(status)), process)
        assert "AccessDenied" in denied(status)
        assert f"allow s3:PutObject on arn:aws:s3:::{BUCKET}/{wired.keys.base}{key.strip('/')}" in denied(status)
        assert committed(s3) == []
        proxy.set()
        wired.durable(process)
    wired.arrived()
