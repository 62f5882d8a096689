"""The agent is killed while its setup runs: the setup ends with it, and the next agent begins it anew."""

from __future__ import annotations

import time
from pathlib import Path

import psutil

from tests.e2e.agent import Agent
from tests.e2e.seaweed import S3

LINE = "echo $$ >> setups; until [ -e go ]; do sleep 0.05; done"


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_the_setup_ends_with_its_agent_and_begins_anew(tmp_path: Path, s3: S3) -> None:
    training = {"command": ["sh", "-c", "cat setups > seen"], "setup": [LINE], "grace": "1s"}
    agent = Agent(tmp_path, s3, checkpoints=tmp_path / "checkpoints", training=training)
    setups = agent.workdir / "setups"
    process = agent.start()
    agent.wait_for(lambda status: status["phase"] == "setup" and setups.exists(), process)
    process.kill()
    process.wait()
    (first,) = map(int, setups.read_text().split())
    end = time.monotonic() + 60
    while not gone(first):
        assert time.monotonic() < end
        time.sleep(0.05)
    with agent.running() as process:
        agent.wait_for(lambda _: len(setups.read_text().split()) == 2, process)
        (agent.workdir / "go").touch()
        status = agent.wait_for(lambda status: status["phase"] == "finished", process)
    assert status["attempt"] == 1
    assert (agent.workdir / "seen").read_text() == setups.read_text(), "the command ran once, after a whole setup"
