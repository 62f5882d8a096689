"""S3 answers 500 InternalError, for longer than one call is patient."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.proxy import Proxy, answer
from tests.e2e.seaweed import S3
from tests.e2e.wired import Wired

STEPS = ("CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload")


def test_at_any_step_of_an_upload(tmp_path: Path, s3: S3, proxy: Proxy) -> None:
    wired = Wired(tmp_path, s3, proxy)
    with wired.running() as process:
        for number, operation in enumerate(STEPS, 1):
            proxy.set(answer(500, "InternalError", operation, key="/data/"))
            wired.save(number)
            status = wired.says(f"{operation} s3://", process)
            assert "InternalError" in status["error"]
            proxy.set()
            wired.durable(process)
    wired.arrived()
