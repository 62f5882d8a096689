"""The textfile of metrics can't be written: that is published, nothing else minds, and it is there once it can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.agent import Agent
from tests.e2e.committed import committed
from tests.e2e.seaweed import S3
from tests.e2e.tiny_training import save
from tests.unit.test_metrics import read, value


def complains(status: dict[str, Any]) -> bool:
    return any("the metrics could not be written" in line for line in status["details"])


def test_until_its_directory_is_there(tmp_path: Path, s3: S3) -> None:
    watched, textfile = tmp_path / "checkpoints", tmp_path / "missing" / "runctl.prom"
    watched.mkdir()
    agent = Agent(
        tmp_path, s3, checkpoints=watched, settle="300ms", metrics={"textfile": str(textfile)}, publish={"heartbeat": "1s"}
    )
    with agent.running() as process:
        status = agent.wait_for(complains, process)
        line = next(line for line in status["details"] if "metrics" in line)
        assert str(textfile) in line
        assert "No such file or directory" in line
        save(watched / "model_step_1.pt", 1, 5000)
        status = agent.wait_for(lambda status: status["commits"] == 1 and not status["pending_checkpoints"], process)
        assert status["conditions"] == []
        assert not textfile.parent.exists()
    assert len(committed(s3)) == 1

    with agent.running() as process:
        agent.wait_for(complains, process)
        textfile.parent.mkdir()
        agent.wait_for(lambda status: textfile.exists() and not complains(status), process, seconds=240)
        commits = value(read(textfile.read_text()), "runctl_commits_total", agent.run)
        assert commits == agent.status()["commits"]
    assert [file.name for file in textfile.parent.iterdir()] == ["runctl.prom"]
