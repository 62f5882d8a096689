"""S3 fails at the log for a while: checkpoints go on, and what was written meanwhile is there once, in its order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.logged import Logged
from tests.e2e.proxy import Proxy, answer, answer_after
from tests.e2e.seaweed import S3


@pytest.mark.parametrize("done", [False, True], ids=["refused", "done all the same"])
@pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (500, "InternalError")])
def test_for_a_while(tmp_path: Path, s3: S3, proxy: Proxy, status: int, code: str, done: bool) -> None:
    fault = (answer_after if done else answer)(status, code, "PutObject", key="/training.log.")
    proxy.set(fault)
    logged = Logged(tmp_path, s3, proxy.s3)
    with logged.running() as process:
        logged.says("one\n")
        logged.agent.wait_for(lambda status: any("logs are not sent" in line for line in status["details"]), process)
        logged.says("two\n")
        logged.save()
        told = logged.agent.wait_for(lambda status: status["commits"] == 2, process)
        assert told["conditions"] == []
        proxy.set()
        logged.arrives(process)
        logged.says("three\n")
        logged.arrives(process)
        logged.agent.wait_for(lambda status: not any("logs are not sent" in line for line in status["details"]), process)
