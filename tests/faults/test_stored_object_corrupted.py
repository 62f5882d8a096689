"""What S3 has is not what was sent: found by the HEAD before the commit, and by whoever restores."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.committed import committed
from tests.e2e.proxy import Proxy, hold
from tests.e2e.seaweed import S3
from tests.e2e.tiny_training import body, saved
from tests.e2e.wired import SIZE, Wired


def flip(s3: S3, key: str) -> None:
    """One bit in the middle of an object."""
    with s3.store() as store:
        got = store.get(key)
        assert got is not None
        middle = len(got.body) // 2
        store.put(key, got.body[:middle] + bytes([got.body[middle] ^ 1]) + got.body[middle + 1 :])


def test_before_the_commit(tmp_path: Path, s3: S3, proxy: Proxy) -> None:
    proxy.set(hold("HeadObject", key="/data/", times=1))
    wired = Wired(tmp_path, s3, proxy)
    wired.save()
    with wired.running() as process:
        proxy.until(1)
        assert committed(s3) == []
        flip(s3, proxy.befell()[0].key.removeprefix(f"/{s3.bucket}/"))
        proxy.set()
        wired.durable(process)
    assert len(proxy.seen("UploadPart")) == 4
    wired.arrived()


def test_after_the_commit_the_one_before_is_restored_and_the_reason_is_said(tmp_path: Path, s3: S3, proxy: Proxy) -> None:
    wired = Wired(tmp_path, s3, proxy)
    with wired.running() as process:
        for step in (1, 2):
            wired.save(step)
            wired.durable(process)
    flip(s3, wired.keys.absolute(committed(s3)[0].files[0].object))
    done = wired.agent.command("restore", "--to", str(tmp_path / "to"))
    assert "model_step_2.pt" in done.stderr
    assert "CRC-32" in done.stderr
    assert saved(tmp_path / "to" / "model_step_1.pt") == body(1, SIZE)
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["model_step_1.pt"]
