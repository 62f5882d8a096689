"""S3 refuses the logs: published, said once, tried again; checkpoints go on, and nothing of a log is lost."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.logged import Logged
from tests.e2e.proxy import Proxy, answer, lose
from tests.e2e.seaweed import S3


def test_until_it_is_granted(tmp_path: Path, s3: S3, proxy: Proxy) -> None:
    proxy.set(answer(403, "AccessDenied", "PutObject", key="/logs/", message="Access Denied"))
    logged = Logged(tmp_path, s3, proxy.s3)
    with logged.running() as process:
        logged.says("one\n")
        status = logged.agent.wait_for(
            lambda status: any("logs are not sent" in line and "AccessDenied" in line for line in status["details"]), process
        )
        logged.save()
        status = logged.agent.wait_for(lambda status: status["commits"] == 2 and not status["pending_checkpoints"], process)
        assert status["conditions"] == [], "what only concerns logs is no condition"
        assert logged.there() == b""
        logged.says("two\n")
        proxy.set()
        logged.arrives(process)
        logged.agent.wait_for(lambda status: not any("logs are not sent" in line for line in status["details"]), process)
    assert logged.agent.log.read_text().count("logs are not sent") == 1


def test_an_answer_that_is_lost(tmp_path: Path, s3: S3, proxy: Proxy) -> None:
    proxy.set(lose("PutObject", key="/logs/", times=2))
    logged = Logged(tmp_path, s3, proxy.s3)
    with logged.running() as process:
        for line in range(5):
            logged.says(f"line {line}\n")
            logged.arrives(process)
