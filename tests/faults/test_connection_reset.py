"""The connection is reset in the middle of a body, one way and the other."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.proxy import Proxy, reset, reset_response
from tests.e2e.seaweed import S3
from tests.e2e.tiny_training import body, saved
from tests.e2e.wired import MIB, SIZE, Wired


def test_in_the_middle_of_every_part(tmp_path: Path, s3: S3, proxy: Proxy) -> None:
    proxy.set(reset("UploadPart", after=MIB))
    wired = Wired(tmp_path, s3, proxy)
    wired.save()
    with wired.running() as process:
        wired.says("UploadPart s3://", process)
        proxy.set()
        wired.durable(process)
    assert {one.status for one in proxy.befell()} == {0}
    wired.arrived()


def test_in_the_middle_of_a_single_put(tmp_path: Path, s3: S3, proxy: Proxy) -> None:
    proxy.set(reset("PutObject", key="/data/", after=MIB))
    wired = Wired(tmp_path, s3, proxy)
    wired.save(size=4 * MIB)
    with wired.running() as process:
        wired.says("PutObject s3://", process)
        proxy.set()
        wired.durable(process)
    wired.arrived()


def test_in_the_middle_of_what_is_restored(tmp_path: Path, s3: S3, proxy: Proxy) -> None:
    wired = Wired(tmp_path, s3, proxy)
    name = wired.save()
    with wired.running() as process:
        wired.durable(process)
    proxy.set(reset_response("GetObject", key="/data/", after=MIB, times=4), anew=True)
    wired.agent.command("restore", "--to", str(tmp_path / "to"))
    assert saved(tmp_path / "to" / name) == body(1, SIZE)
    assert len(proxy.befell()) == 4
