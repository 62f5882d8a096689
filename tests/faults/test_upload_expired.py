"""A multipart upload is aborted behind the agent's back, by a lifecycle rule or by hand, while its parts are being sent."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.proxy import Proxy, hold
from tests.e2e.seaweed import S3
from tests.e2e.wired import Wired


def test_between_two_parts(tmp_path: Path, s3: S3, proxy: Proxy) -> None:
    abort_before(tmp_path, s3, proxy, "UploadPart", skip=1)


def test_before_it_is_completed(tmp_path: Path, s3: S3, proxy: Proxy) -> None:
    abort_before(tmp_path, s3, proxy, "CompleteMultipartUpload", skip=0)


def abort_before(tmp_path: Path, s3: S3, proxy: Proxy, operation: str, skip: int) -> None:
    proxy.set(hold(operation, skip=skip))
    wired = Wired(tmp_path, s3, proxy)
    wired.save()
    with wired.running() as process:
        proxy.until(1, operation)
        client = s3.client()
        (upload,) = client.list_multipart_uploads(Bucket=s3.bucket, Prefix=s3.prefix)["Uploads"]
        client.abort_multipart_upload(Bucket=s3.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        proxy.set()
        wired.durable(process)
    assert len(proxy.seen("CreateMultipartUpload")) == 2
    wired.arrived()
