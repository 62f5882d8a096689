"""S3 takes a request and never answers it."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.proxy import Proxy, hang, hang_after
from tests.e2e.seaweed import S3
from tests.e2e.wired import Wired

PATIENCE = 0.5
"""Seconds; three times a call, before the agent says so and begins anew."""


def test_in_an_upload(tmp_path: Path, s3: S3, proxy: Proxy) -> None:
    """Whether it was done or not: what was done twice is there once."""
    wired = Wired(tmp_path, s3, proxy, read_timeout=PATIENCE)
    faults = [hang("UploadPart"), hang_after("UploadPart"), hang("CompleteMultipartUpload")]
    with wired.running() as process:
        for number, fault in enumerate(faults, 1):
            proxy.set(fault)
            wired.save(number)
            wired.says(f"{fault.operation} s3://", process)
            proxy.set()
            wired.durable(process)
        proxy.set(hang_after("CompleteMultipartUpload"))
        wired.save(9)
        wired.durable(process)
    wired.arrived()


def test_from_the_start_on(tmp_path: Path, s3: S3, proxy: Proxy) -> None:
    """Nothing answers, and the agent says so; it ends when it is told to; with the store back all arrives."""
    proxy.set(hang(""))
    wired = Wired(tmp_path, s3, proxy, read_timeout=PATIENCE)
    wired.save()
    with wired.running() as process:
        wired.says("Read timeout", process)
    proxy.set()
    with wired.running() as process:
        wired.durable(process)
    wired.arrived()


def test_in_a_restore(tmp_path: Path, s3: S3, proxy: Proxy) -> None:
    wired = Wired(tmp_path, s3, proxy, read_timeout=PATIENCE)
    name = wired.save()
    with wired.running() as process:
        wired.durable(process)
    proxy.set(hang("GetObject", key="/data/", times=4), anew=True)
    wired.agent.command("restore", "--to", str(tmp_path / "to"))
    assert len(proxy.befell()) == 4
    assert (tmp_path / "to" / name).read_bytes() == wired.saved[name, name]
