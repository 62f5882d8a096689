"""`status`: what the agent knows, from its status file alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from runctl_agent.contract.status import State, decode_state
from tests.e2e.agent import Agent
from tests.e2e.gate import gate
from tests.e2e.seaweed import S3
from tests.e2e.tiny_training import save, training


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    directory = tmp_path / "checkpoints"
    directory.mkdir()
    return directory


def test_of_a_training_that_ended(tmp_path: Path, s3: S3, watched: Path) -> None:
    agent = Agent(tmp_path, s3, checkpoints=watched, settle="300ms")
    with agent.running() as process:
        agent.exec(training(watched, steps=3, exit_code=7))
        agent.wait_for(lambda status: status["phase"] == "failed" and status["commits"] == 3, process)
        head, safe = agent.command("status").stdout.splitlines()
        assert head == "test-run: failed, exit code 7"
        assert safe.startswith("  step 3 safe ")
        assert safe.endswith(" s ago, 0 B behind")
        told = agent.command("status", "--json").stdout
        assert isinstance(decode_state(told.encode()), State)
        assert json.loads(told)["exit_code"] == 7


def test_of_one_that_can_not_upload(tmp_path: Path, watched: Path, refused: str) -> None:
    agent = Agent(tmp_path, S3(refused, "x"), checkpoints=watched, settle="300ms")
    save(watched / "model_step_1.pt", 1, 5000)
    with agent.running() as process:
        status = agent.wait_for(lambda status: status["pending_checkpoints"] == 1 and status["failures"] > 1, process)
        lines = agent.command("status").stdout.splitlines()
    assert lines[0] == "test-run: waiting"
    assert lines[1] == "  nothing safe yet, 5.2 KiB behind"
    assert lines[2].startswith("  behind for ")
    assert re.fullmatch(r"  failed [0-9]+ times in a row, tried again in [0-9]+ (s|min)", lines[3])
    assert lines[4].startswith("  last error: ")
    assert refused in lines[4]
    assert (status["rate"], status["eta"], status["sending"]) == (0, None, None)


def test_of_one_that_is_uploading(tmp_path: Path, s3: S3, watched: Path) -> None:
    """One of three parts is with S3, and the others are on their way."""
    part, size = 8 * 2**20, 20 * 2**20
    with gate(s3) as before:
        agent = Agent(tmp_path, before.s3, checkpoints=watched, settle="300ms")
        with agent.running() as process:
            before.hold(lambda request: request.part in (2, 3))
            save(watched / "model_step_1.pt", 1, size)
            whole = (watched / "model_step_1.pt").stat().st_size
            status = agent.wait_for(lambda status: status["sent_bytes"] == part and status["rate"] > 0, process)
            assert (status["sending"], status["sending_bytes"]) == ("model_step_1.pt", whole)
            assert status["pending_bytes"] == whole - part
            assert 0 < status["eta"] <= whole
            lines = agent.command("status").stdout.splitlines()
            assert lines[2] == "  sending model_step_1.pt: 8.0 MiB of 20.0 MiB sent"
            assert re.fullmatch(r"  behind for [0-9]+ s, at .*/s done in [0-9]+ (s|min|h|d)", lines[3])
            before.open()
            status = agent.wait_for(lambda status: status["pending_bytes"] == 0 and status["commits"] == 1, process)
            assert (status["sending"], status["sending_bytes"], status["sent_bytes"], status["eta"]) == (None, 0, 0, None)
            assert len(agent.command("status").stdout.splitlines()) == 2


def test_no_agent_has_run(tmp_path: Path, s3: S3, watched: Path) -> None:
    done = Agent(tmp_path, s3, checkpoints=watched).command("status", check=False)
    assert (done.returncode, done.stdout) == (5, "")
    what, mend = done.stderr.splitlines()
    assert what == f"there is no status file {tmp_path}/state/status.json: no agent has run with this state directory"
    assert mend == "  mend: runctl-agent run"
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff\x00", b"[" * 100_000])
def test_a_file_that_is_no_status(tmp_path: Path, s3: S3, watched: Path, body: bytes) -> None:
    agent = Agent(tmp_path, s3, checkpoints=watched)
    agent.state_dir.mkdir()
    (agent.state_dir / "status.json").write_bytes(body)
    done = agent.command("status", check=False)
    assert (done.returncode, done.stdout) == (6, "")
    assert "is no status: " in done.stderr
    assert "mend: " in done.stderr


def test_an_agent_that_is_gone_is_not_shown_as_alive(s3: S3, tmp_path: Path) -> None:
    agent = Agent(tmp_path, s3, checkpoints=tmp_path / "work" / "checkpoints", settle="300ms")
    with agent.running():
        assert "no agent is running" not in agent.command("status").stdout
    assert "no agent is running: this is as of" in agent.command("status").stdout


def test_the_status_of_another_run_is_refused(s3: S3, tmp_path: Path) -> None:
    agent = Agent(tmp_path, s3, checkpoints=tmp_path / "work" / "checkpoints", settle="300ms")
    with agent.running():
        pass
    agent.config.write_text(agent.config.read_text().replace(f"run: {agent.run}", "run: another"))
    refused = agent.command("status", check=False)
    assert refused.returncode == 6
    assert f"is of run {agent.run}, not another" in refused.stderr


def test_exec_refuses_an_option_that_it_does_not_have(s3: S3, tmp_path: Path) -> None:
    agent = Agent(tmp_path, s3, checkpoints=tmp_path / "work" / "checkpoints")
    refused = agent.command("exec", "--statedir", "x", "--", "true", check=False)
    assert refused.returncode == 2
    assert "exec has no option --statedir" in refused.stderr
    assert not (agent.workdir / "training_exit_code.txt").exists()
