"""One agent and one training a machine, of whatever run and state directory: a second one is refused, and says why."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.agent import Agent
from tests.e2e.committed import committed
from tests.e2e.seaweed import S3
from tests.e2e.tiny_training import training


def agent_of(tmp_path: Path, s3: S3, name: str, run: str, **own: Any) -> Agent:
    """Its state directory, spec and workdir are its own, the machine is the one that all share."""
    folder = tmp_path / name
    folder.mkdir()
    env = {"RUNTIME_DIRECTORY": str(tmp_path / "run")}
    return Agent(folder, s3, checkpoints=folder / "work" / "checkpoints", settle="300ms", run=run, env=env, training=own)


def lasting(tmp_path: Path, name: str, end: Path) -> dict[str, Any]:
    return {"command": training(tmp_path / name / "work" / "checkpoints", steps=1, until=end)}


def refused(agent: Agent, *command: str) -> tuple[str, str]:
    """What and why, and the mend; nothing was done."""
    done = agent.exec(command) if command else agent.command("run", check=False)
    assert done.returncode == 6, done.stderr
    assert done.stdout == ""
    what, mend = done.stderr.splitlines()
    assert mend.startswith("  mend: ")
    assert not list(agent.workdir.iterdir())
    assert not (agent.state_dir / "status.json").exists()
    return what, mend.removeprefix("  mend: ")


def test_a_second_agent_is_refused_while_the_first_lives(tmp_path: Path, s3: S3) -> None:
    first, same, other = (
        agent_of(tmp_path, s3, name, run) for name, run in [("one", "first-run"), ("two", "first-run"), ("three", "other-run")]
    )
    with first.running() as process:
        for second, run in ((same, "first-run"), (other, "other-run")):
            what, mend = refused(second)
            whose = f"run first-run (state directory {first.state_dir})"
            assert what == (
                f"no agent is started for run {run}: this machine has an agent already, process {process.pid}, of {whose}"
            )
            assert mend == f"stop that one: systemctl stop runctl-agent, or kill {process.pid}"
            what, mend = refused(second, "touch", "started")
            assert what.startswith(f"run {run} is not started: this machine has an agent already, process {process.pid}")
        assert first.exec(["true"]).returncode == 0, "the agent's own run is what it is there for"
    with other.running():
        pass


def test_where_the_agent_is_gone_its_training_keeps_others_out_until_it_ends(tmp_path: Path, s3: S3) -> None:
    end = tmp_path / "end"
    first = agent_of(tmp_path, s3, "one", "first-run", **lasting(tmp_path, "one", end))
    other = agent_of(tmp_path, s3, "two", "other-run", command=["true"])
    process = first.start()
    pid = first.wait_for(lambda status: status.get("commits") == 1 and status["phase"] == "training", process)["trainer_pid"]
    process.kill()
    process.wait()
    for command in ((), ("touch", "started")):
        what, mend = refused(other, *command)
        assert what.endswith(
            f"a training of run first-run (state directory {first.state_dir}) is alive on this machine, process {pid}"
        )
        assert mend == f"wait for its end, or end it: kill {pid}"
    with first.running() as process:
        assert first.wait_for(lambda status: status["phase"] == "training", process)["trainer_pid"] == pid, "its own adopts it"
        end.touch()
        first.wait_for(lambda status: status["phase"] == "finished", process)
    with other.running() as process:
        other.wait_for(lambda status: status["phase"] == "finished", process)
    assert [one.checkpoint for one in committed(s3, "first-run")] == ["model_step_1.pt"]


@pytest.mark.parametrize("wiped", [False, True], ids=["the worker killed", "the runtime directory removed, too"])
def test_a_training_that_nobody_minds_keeps_others_out(tmp_path: Path, s3: S3, wiped: bool) -> None:
    """Agent and worker are killed, and systemd may have removed what was in RuntimeDirectory=."""
    end = tmp_path / "end"
    first = agent_of(tmp_path, s3, "one", "first-run", **lasting(tmp_path, "one", end))
    other = agent_of(tmp_path, s3, "two", "other-run")
    process = first.start()
    pid = first.wait_for(lambda status: status["phase"] == "training" and status["trainer_pid"], process)["trainer_pid"]
    worker = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    process.kill()
    process.wait()
    os.kill(worker, signal.SIGKILL)
    if wiped:
        for path in (tmp_path / "run").glob("*.lock"):
            path.unlink()
        with first.running() as process:
            first.wait_for(lambda status: status["phase"] == "training", process)
    try:
        assert f"is alive on this machine, process {pid}" in refused(other)[0]
    finally:
        end.touch()
    with first.running() as process:
        first.wait_for(lambda status: status["phase"] == "failed", process)  # by what nobody saw: its exit code
    with other.running():
        pass


def test_what_a_training_left_behind_keeps_nobody_out(tmp_path: Path, s3: S3) -> None:
    """It ended, and that was seen; a child of its own that has everything open still lives."""
    left = "import os, sys, time\nif os.fork():\n    sys.exit(0)\nos.setsid()\nopen('left', 'w').write(str(os.getpid()))\n"
    left += "time.sleep(600)\n"
    first = agent_of(tmp_path, s3, "one", "first-run", command=["python3", "-c", left])
    other = agent_of(tmp_path, s3, "two", "other-run", command=["true"])
    try:
        with first.running() as process:
            first.wait_for(lambda status: status["phase"] == "finished" and (first.workdir / "left").exists(), process)
        with other.running() as process:
            other.wait_for(lambda status: status["phase"] == "finished", process)
    finally:
        os.kill(int((first.workdir / "left").read_text()), signal.SIGKILL)


def test_a_start_by_hand_keeps_another_runs_agent_out_and_its_own_follows_it(tmp_path: Path, s3: S3) -> None:
    first, other = agent_of(tmp_path, s3, "one", "first-run"), agent_of(tmp_path, s3, "two", "other-run", command=["true"])
    with subprocess.Popen(first.argv("exec", "--", "sh", "-c", "read go"), env=first.env, stdin=subprocess.PIPE) as by_hand:
        with first.running() as process:
            pid = first.wait_for(lambda status: status["phase"] == "training", process)["trainer_pid"]
            assert f"process {pid}" in refused(other)[0] or "this machine has an agent already" in refused(other)[0]
        assert f"a training of run first-run (state directory {first.state_dir}) is alive" in refused(other)[0]
        by_hand.communicate(b"\n", timeout=60)
    with other.running() as process:
        other.wait_for(lambda status: status["phase"] == "finished", process)


def test_a_spec_of_another_run_is_not_taken_while_the_training_lives(tmp_path: Path, s3: S3) -> None:
    """SIGHUP: the agent that would be refused goes on with what it has."""
    end = tmp_path / "end"
    agent = agent_of(tmp_path, s3, "one", "first-run", **lasting(tmp_path, "one", end))
    with agent.running() as process:
        pid = agent.wait_for(lambda status: status["phase"] == "training" and status["trainer_pid"], process)["trainer_pid"]
        agent.config.write_text(agent.config.read_text().replace("first-run", "other-run"))
        process.send_signal(signal.SIGHUP)
        agent.wait_for(lambda _: "the run spec was not read again" in agent.log.read_text(), process)
        said = next(line for line in agent.log.read_text().splitlines() if "was not read again" in line)
        assert f"a training of run first-run (state directory {agent.state_dir}) is alive on this machine, process {pid}" in said
        end.touch()
        assert agent.wait_for(lambda status: status["phase"] == "finished", process)["run"] == "first-run"


def test_a_machine_without_a_place_for_locks_still_trains(tmp_path: Path, s3: S3) -> None:
    agent = agent_of(tmp_path, s3, "one", "first-run", command=["true"])
    (tmp_path / "run").write_text("a file in the runtime directory's place")
    assert agent.exec(["sh", "-c", "exit 3"]).returncode == 3
    assert "a second training on this machine would not be refused" in agent.exec(["true"]).stderr
    assert json.loads((agent.state_dir / "exit-first-run.json").read_text())["code"] == 0
