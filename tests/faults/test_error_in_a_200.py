"""CompleteMultipartUpload sends 200 at once and an error when it has failed ("CompleteMultipartUpload", S3 API Reference)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.proxy import Fault, Proxy, answer, answer_after
from tests.e2e.seaweed import S3
from tests.e2e.wired import Wired


@pytest.mark.parametrize("does", [answer, answer_after], ids=["nothing was done", "it was done"])
def test_on_complete(tmp_path: Path, s3: S3, proxy: Proxy, does: Callable[..., Fault]) -> None:
    proxy.set(does(200, "InternalError", "CompleteMultipartUpload"))
    wired = Wired(tmp_path, s3, proxy)
    wired.save()
    with wired.running() as process:
        if does is answer:
            wired.says("CompleteMultipartUpload s3://", process)
            assert wired.s3.store().head(proxy.befell()[0].key.removeprefix(f"/{s3.bucket}/")) is None
            proxy.set()
        wired.durable(process)
    assert len(proxy.seen("UploadPart")) == 2
    wired.arrived()
