"""The role may not delete: nothing is condemned, the mend is published, checkpoints go on being committed."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tests.e2e.bounded import denied
from tests.e2e.committed import committed, everything, has_commits
from tests.e2e.proxy import Proxy, answer
from tests.e2e.seaweed import BUCKET, S3
from tests.e2e.wired import MIB, Wired


def test_until_it_is_granted(tmp_path: Path, s3: S3, proxy: Proxy) -> None:
    proxy.set(answer(403, "AccessDenied", "DeleteObject", message="Access Denied"))
    wired = Wired(tmp_path, s3, proxy, retention={"keep_last": 1})
    with wired.running() as process:
        for step in (1, 2):
            wired.save(step, MIB)
            wired.agent.wait_for(partial(has_commits, step), process)
        status = wired.agent.wait_for(lambda status: bool(denied(status)), process)
        assert f"allow s3:DeleteObject on arn:aws:s3:::{BUCKET}/{wired.keys.base}pins/" in denied(status)
        wired.save(3, MIB)
        wired.agent.wait_for(lambda status: status["commits"] == 3 and not status["pending_checkpoints"], process)
        assert len(committed(s3)) == 3
        proxy.set()
        wired.agent.wait_for(lambda status: not denied(status) and len(committed(s3)) == 1, process)
    assert [manifest.step for manifest in committed(s3)] == [3]


def test_doctor_tells_before(tmp_path: Path, s3: S3, proxy: Proxy) -> None:
    proxy.set(answer(403, "AccessDenied", "DeleteObject", message="Access Denied"))
    wired = Wired(tmp_path, s3, proxy, retention={"keep_last": 1}, staging={"keep_free": 0})
    said = wired.agent.command("doctor", check=False)
    assert said.returncode == 4
    assert "FAIL s3 delete: " in said.stdout
    assert f"allow s3:DeleteObject on arn:aws:s3:::{BUCKET}/{wired.keys.base}" in said.stdout
    proxy.set()
    before = everything(s3)
    assert "ok   s3 delete: " in wired.agent.command("doctor").stdout
    assert everything(s3) == before
