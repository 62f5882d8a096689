"""The agent is killed between two pieces of the log, and while one is on its way: nothing is there twice, nothing is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from runctl_agent.contract.pieces import PIECE
from tests.e2e.logged import Logged
from tests.e2e.proxy import Fault, Proxy, hang, hang_after
from tests.e2e.seaweed import S3

LINES = b"".join(b"line %06d of a training\n" % line for line in range(60_000))


@pytest.mark.parametrize("put", [hang, hang_after], ids=["before its effect", "after its effect"])
@pytest.mark.parametrize("piece", [0, 1, 3])
def test_while_a_piece_is_on_its_way(tmp_path: Path, s3: S3, proxy: Proxy, put: object, piece: int) -> None:
    assert callable(put)
    fault = put("PutObject", key="/training.log.", skip=piece)
    assert isinstance(fault, Fault)
    proxy.set(fault)
    logged = Logged(tmp_path, s3, proxy.s3)
    logged.says(LINES)
    killed(logged, proxy)
    assert len(logged.pieces()) >= piece
    logged.says(b"while nobody looked\n")
    proxy.set()
    with logged.running() as process:
        logged.arrives(process)
    assert max(logged.pieces().values()) <= PIECE


def killed(logged: Logged, proxy: Proxy) -> None:
    """By SIGKILL, once the fault has befallen a put."""
    doomed = logged.agent.start()
    try:
        logged.save()
        logged.agent.wait_for(lambda status: bool(proxy.befell()), doomed)
    finally:
        doomed.kill()
        doomed.wait()
