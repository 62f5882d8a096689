"""Another one prunes just as an agent commits a checkpoint that names older data: nothing dangles, whoever is first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runctl_agent.contract.keys import Keys
from runctl_agent.contract.spec import Retention
from runctl_agent.runtime import ThreadRuntime
from runctl_agent.store.epoch import EpochTaker
from runctl_agent.store.retain import Retainer
from runctl_agent.store.survey import Held
from tests.e2e.committed import committed, everything
from tests.e2e.proxy import Proxy, hold
from tests.e2e.seaweed import S3
from tests.e2e.wired import Wired

FROZEN = b"f" * 70_000


def save(watched: Path, step: int, *, frozen: bool = True) -> None:
    half = watched.parent / "half"
    half.mkdir()
    (half / "embedding.bin").write_bytes(FROZEN if frozen else b"other")
    (half / "weights.bin").write_bytes(bytes([step]) * 50_000)
    os.rename(half, watched / f"model-{step}")


def prune(s3: S3, keys: Keys) -> None:
    """As `runctl prune` does it: in the next epoch."""
    with s3.store() as store:
        runtime = ThreadRuntime()
        epoch = EpochTaker(store, keys, runtime).take("controller", "controller", runtime.now())
        Retainer(store, keys, runtime, Retention(keep_last=1)).run(Held(epoch.epoch, epoch.nonce))


@pytest.mark.parametrize(
    ("operation", "key", "pinned"),
    [("PutObject", "/pins/", False), ("GetObject", "/gc.json", True), ("PutObject", "/manifests/", True)],
)
def test_nothing_dangles(tmp_path: Path, s3: S3, proxy: Proxy, operation: str, key: str, pinned: bool) -> None:
    wired = Wired(tmp_path, s3, proxy)
    with wired.running() as process:
        save(wired.watched, 1)
        wired.agent.wait_for(lambda status: status["commits"] == 1, process)
        save(wired.watched, 2, frozen=False)
        wired.agent.wait_for(lambda status: status["commits"] == 2, process)
        proxy.set(hold(operation, key=key))
        save(wired.watched, 3)
        proxy.until(1, operation)
        assert bool([key for key in everything(s3) if "/pins/" in key]) == pinned
        prune(s3, wired.keys)
        assert [manifest.step for manifest in committed(s3)] == [2]
        proxy.set()
        wired.agent.wait_for(lambda status: status["commits"] == 3, process)

    newest = committed(s3)[0]  # which asks for every object that is named
    assert newest.step == 3
    embedding = next(file.object for file in newest.files if file.path == "embedding.bin")
    own = embedding.startswith("data/000001-00000003/")
    assert own == (key != "/manifests/"), "who read gc.json too late sends its own"
    wired.agent.command("restore", "--to", str(tmp_path / "back"), "--checkpoint", "model-3")
    assert (tmp_path / "back" / "model-3" / "embedding.bin").read_bytes() == FROZEN
