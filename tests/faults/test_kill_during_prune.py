"""kill -9 while retention deletes: what was condemned stays so, and the next agent deletes the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.committed import committed, everything
from tests.e2e.proxy import Proxy, hold, lose
from tests.e2e.seaweed import S3
from tests.e2e.wired import MIB, Wired


@pytest.mark.parametrize("key", ["/manifests/", "/data/"])
@pytest.mark.parametrize("landed", [False, True])
def test_the_next_agent_goes_on(tmp_path: Path, s3: S3, proxy: Proxy, key: str, landed: bool) -> None:
    wired = Wired(tmp_path, s3, proxy, retention={"keep_last": 1})
    wired.save(1, MIB)
    wired.save(2, MIB)
    proxy.set((lose if landed else hold)("DeleteObject", key=key, times=1000))
    process = wired.agent.start()
    try:
        proxy.until(1, "DeleteObject")
    finally:
        process.kill()
        process.wait()
    assert [manifest.step for manifest in committed(s3)] == [2], "what is condemned is none, deleted or not"

    proxy.set()
    with wired.running() as process:
        wired.agent.wait_for(lambda _: len(left(wired, s3)) == 2, process)
    assert [key.split("/")[0] for key in left(wired, s3)] == ["data", "manifests"]
    assert [manifest.step for manifest in committed(s3)] == [2]


def left(wired: Wired, s3: S3) -> list[str]:
    """Data, manifests and pins."""
    relative = (wired.keys.relative(key) for key in everything(s3))
    return sorted(key for key in relative if key.startswith(("data/", "manifests/", "pins/")))
