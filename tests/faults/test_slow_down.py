"""S3 answers 503 SlowDown to everything for a while."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.proxy import Proxy, answer
from tests.e2e.seaweed import S3
from tests.e2e.wired import PART, Wired


def test_a_storm_passes(tmp_path: Path, s3: S3, proxy: Proxy) -> None:
    wired = Wired(tmp_path, s3, proxy)
    wired.save()
    with wired.running() as process:
        wired.durable(process)
        proxy.set(answer(503, "SlowDown", "", message="Please reduce your request rate."))
        wired.save(2)
        wired.says("SlowDown: Please reduce your request rate.", process)
        proxy.set()
        wired.durable(process)
    wired.arrived()


def test_some_parts_only(tmp_path: Path, s3: S3, proxy: Proxy) -> None:
    proxy.set(answer(503, "SlowDown", "UploadPart", skip=1, times=2))
    wired = Wired(tmp_path, s3, proxy)
    wired.save(size=3 * PART)
    with wired.running() as process:
        wired.durable(process)
    assert len(proxy.befell()) == 2
    wired.arrived()
