"""What the daemon does when it is told something, and that there is one of it."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.e2e.agent import Agent
from tests.e2e.committed import names
from tests.e2e.gate import gate
from tests.e2e.seaweed import S3
from tests.e2e.tiny_training import save, training


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    directory = tmp_path / "checkpoints"
    directory.mkdir()
    return directory


@pytest.fixture
def agent(tmp_path: Path, s3: S3, watched: Path) -> Agent:
    return Agent(tmp_path, s3, checkpoints=watched, settle="300ms")


def change(agent: Agent, **keys: object) -> None:
    """The run spec, replaced at once."""
    spec = yaml.safe_load(agent.config.read_text())
    new = agent.config.with_suffix(".new")
    new.write_text(yaml.safe_dump({**spec, **keys}))
    new.rename(agent.config)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_in_the_middle_of_an_upload(tmp_path: Path, s3: S3, watched: Path, number: signal.Signals) -> None:
    """It does not wait for the store, ends well, and training is not told anything."""
    end = tmp_path / "end"
    with gate(s3) as closed:
        closed.hold(lambda request: request.is_data)
        agent = Agent(tmp_path, closed.s3, checkpoints=watched, settle="300ms")
        command = agent.argv("exec", "--", *training(watched, steps=1, until=end))
        with subprocess.Popen(command, env=agent.env) as trainer:
            process = agent.start()
            agent.wait_for(lambda status: status["phase"] == "training" and closed.held == 1, process)
            process.send_signal(number)
            assert process.wait(60) == 0
            assert closed.held == 1, "it ended while the store had not answered"
            assert trainer.poll() is None
            assert agent.status()["phase"] == "training"
            end.touch()
            assert trainer.wait(60) == 0
    assert names(s3) == []
    assert "Traceback" not in agent.log.read_text()


def test_a_second_daemon_is_refused(agent: Agent) -> None:
    with agent.running() as process:
        done = agent.command("run", check=False)
        assert done.returncode == 6
        what, mend = done.stderr.splitlines()
        assert what.startswith("another agent is running with this state directory: ")
        assert str(agent.state_dir) in what
        assert mend.startswith("  mend: stop it first")
        assert done.stdout == ""
        assert process.poll() is None


def test_a_valid_spec_is_taken_in_place(tmp_path: Path, agent: Agent, s3: S3, watched: Path) -> None:
    more = tmp_path / "more"
    more.mkdir()
    save(watched / "model_step_1.pt", 1, 1000)
    with agent.running() as process:
        agent.wait_for(lambda status: status["commits"] == 1, process)
        change(agent, checkpoints=[{"path": str(watched)}, {"path": str(more)}])
        process.send_signal(signal.SIGHUP)
        save(more / "model_step_2.pt", 2, 1000)
        agent.wait_for(lambda status: status["commits"] == 2, process)
        assert process.poll() is None, "the same process"
        begins = [line for line in agent.log.read_text().splitlines() if 'msg="run test-run: watching' in line]
        assert [str(more) in line for line in begins] == [False, True]
    assert names(s3) == ["model_step_1.pt", "model_step_2.pt"]


def test_a_broken_spec_is_not_taken(agent: Agent, s3: S3, watched: Path) -> None:
    with agent.running() as process:
        change(agent, settel="1s", publish={"heartbeat": "soon"})
        process.send_signal(signal.SIGHUP)
        agent.wait_for(lambda _: "the run spec was not read again" in agent.log.read_text(), process)
        said = next(line for line in agent.log.read_text().splitlines() if "was not read again" in line)
        assert "level=error" in said
        assert "settel" in said
        assert "settle" in said
        assert "publish.heartbeat" in said
        save(watched / "model_step_1.pt", 1, 1000)
        agent.wait_for(lambda status: status["commits"] == 1, process)
    assert names(s3) == ["model_step_1.pt"]
