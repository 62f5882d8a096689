"""`metrics.textfile`: node_exporter's file says what the agent's own status file says."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from runctl_agent.contract.status import State, decode_state
from runctl_agent.metrics import exposition
from tests.e2e.agent import Agent
from tests.e2e.seaweed import S3
from tests.e2e.tiny_training import training
from tests.unit.test_metrics import Series, read, value


def test_of_a_training_to_its_end(tmp_path: Path, s3: S3) -> None:
    watched, textfile = tmp_path / "checkpoints", tmp_path / "textfile" / "runctl.prom"
    watched.mkdir()
    textfile.parent.mkdir()
    agent = Agent(tmp_path, s3, checkpoints=watched, settle="300ms", metrics={"textfile": str(textfile)})

    def told() -> dict[Series, float]:
        return read(textfile.read_text()) if textfile.exists() else {}

    def says(name: str, **labels: str) -> float | None:
        return value(told(), f"runctl_{name}", agent.run, **labels)

    with agent.running() as process:
        agent.wait_for(lambda _: says("phase", phase="waiting") == 1, process)
        assert says("commits_total") == 0
        agent.exec(training(watched, steps=3, exit_code=7))
        agent.wait_for(lambda _: says("phase", phase="failed") == 1 and says("pending_checkpoints") == 0, process)
        agent.wait_for(lambda status: status["phase"] == "failed" and says("commits_total") == 3, process)
        assert says("phase", phase="waiting") == 0
        assert says("checkpoint_step") == 3
        assert says("exit_code") == 7
        sent = says("sent_bytes_total")
        assert sent is not None
        assert sent >= sum(file.stat().st_size for file in watched.iterdir())

    # The agent has ended well: its last word stays, and is that of its status file but for the moment of the writing.
    last = decode_state(json.dumps(agent.status()).encode())
    assert isinstance(last, State)
    assert _but_for_moments(read(exposition(last))) == _but_for_moments(told())
    assert [file.name for file in textfile.parent.iterdir()] == ["runctl.prom"]
    assert stat.S_IMODE(textfile.stat().st_mode) == 0o644
    assert textfile.stat().st_uid == os.geteuid()


def test_without_it_there_is_no_such_file(tmp_path: Path, s3: S3) -> None:
    watched = tmp_path / "checkpoints"
    watched.mkdir()
    agent = Agent(tmp_path, s3, checkpoints=watched)
    with agent.running():
        pass
    assert not list(tmp_path.rglob("*.prom*"))


def _but_for_moments(found: dict[Series, float]) -> dict[Series, float]:
    return {series: number for series, number in found.items() if series[0] not in MOMENTS}


MOMENTS = {"runctl_heartbeat_timestamp_seconds", "runctl_lag_seconds"}
