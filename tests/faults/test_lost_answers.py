"""Each thing is done, and the connection is reset in place of the answer: what the client does again by itself is there once."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.proxy import Proxy, lose
from tests.e2e.seaweed import S3
from tests.e2e.wired import Wired

WRITES = ("/probe.json", "/epoch.json", "/latest.json", "/manifests/", "/data/", "/status.json")


def test_to_every_write(tmp_path: Path, s3: S3, proxy: Proxy) -> None:
    lost = [lose("PutObject", key=key, times=1) for key in WRITES]
    lost += [lose("UploadPart", times=1), lose("CompleteMultipartUpload", times=1)]
    proxy.set(*lost)
    wired = Wired(tmp_path, s3, proxy)
    wired.save(1)
    wired.save(2, size=1000)
    with wired.running() as process:
        status = wired.durable(process)
        proxy.until(len(lost))
    assert status["epoch"] == 1
    assert len(proxy.befell()) == len(lost)
    assert {one.status for one in proxy.befell()} == {200}
    wired.arrived()


def test_to_an_upload_that_was_begun(tmp_path: Path, s3: S3, proxy: Proxy) -> None:
    """Nobody knows its id: it is left, without a part, to the bucket's lifecycle rule, which `doctor` asks for."""
    proxy.set(lose("CreateMultipartUpload", times=1))
    wired = Wired(tmp_path, s3, proxy)
    name = wired.save()
    with wired.running() as process:
        wired.durable(process)
    (left,) = wired.uploads()
    assert left.endswith(name)
    client = s3.client()
    (upload,) = client.list_multipart_uploads(Bucket=s3.bucket, Prefix=s3.prefix)["Uploads"]
    client.abort_multipart_upload(Bucket=s3.bucket, Key=left, UploadId=upload["UploadId"])
    wired.arrived()
