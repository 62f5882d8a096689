"""The machine's clock is wrong by more than S3 bears (15 minutes)."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.bounded import denied
from tests.e2e.committed import everything
from tests.e2e.proxy import Proxy
from tests.e2e.seaweed import S3
from tests.e2e.wired import Wired


def test_until_it_is_set(tmp_path: Path, s3: S3, proxy: Proxy) -> None:
    wired = Wired(tmp_path, s3, proxy)
    wired.agent.set_clock(3600)
    wired.save()
    with wired.running() as process:
        status = wired.says("RequestTimeTooSkewed", process)
        assert "timedatectl" in denied(status)
        assert everything(s3) == []
        wired.agent.set_clock(0)
        wired.durable(process)
    wired.arrived()
