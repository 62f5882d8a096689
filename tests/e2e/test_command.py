"""`training.command`: fetched, set up, restored, started, followed; the agent may come and go, the machine too."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.agent import Agent
from tests.e2e.committed import committed, names
from tests.e2e.seaweed import S3
from tests.e2e.tiny_training import saved, training

PRINT_ENV = (
    "import os; print({k: v for k, v in sorted(os.environ.items()) if k.startswith('RUNCTL_') or k in ('A', 'B', 'HOME')})"
)


def machine(tmp_path: Path, s3: S3, name: str, command: list[str], **options: Any) -> Agent:
    """A machine of its own: nothing on its disk but the spec."""
    folder = tmp_path / name
    folder.mkdir()
    own = {"command": command, **options.pop("training", {})}
    env = {"RUNCTL_BOOT_ID": name, **options.pop("env", {})}
    return Agent(folder, s3, checkpoints=folder / "work" / "checkpoints", settle="300ms", env=env, training=own, **options)


def tiny(agent_folder: Path, **options: object) -> list[str]:
    return training(agent_folder / "work" / "checkpoints", **options)  # type: ignore[arg-type]


def log_of(agent: Agent) -> str:
    return (agent.workdir / "training.log").read_text()


def bundle(s3: S3, files: Mapping[str, str]) -> str:
    """Code in S3 as the controller puts it; its URL."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as tar:
        for path, text in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    key = f"{s3.prefix}/code/{hashlib.sha256(whole.getvalue()).hexdigest()}.tar.gz"
    with s3.store() as store:
        store.put(key, whole.getvalue())
    return f"s3://{s3.bucket}/{key}"


def test_the_command_runs_and_its_end_is_told(tmp_path: Path, s3: S3) -> None:
    agent = machine(tmp_path, s3, "one", tiny(tmp_path / "one", steps=3))
    with agent.running() as process:
        status = agent.wait_for(lambda status: status["phase"] == "finished", process)
    assert (status["exit_code"], status["attempt"], status["commits"]) == (0, 1, 3)
    assert names(s3) == [f"model_step_{step}.pt" for step in (1, 2, 3)]
    assert (agent.workdir / "training_exit_code.txt").read_text() == "0\n"


def test_what_it_finds_around_it(tmp_path: Path, s3: S3) -> None:
    """Code, setup and environment, in the order in which they come."""
    code = bundle(s3, {"train.py": "import helper\nhelper.show()\n", "helper.py": f"def show():\n    {PRINT_ENV}\n"})
    own = {"code": code, "env": {"A": "spec"}, "setup": ["export B=$A-setup", "echo set up", "cd /"]}
    agent = machine(tmp_path, s3, "one", [sys.executable, "train.py"], training=own)
    with agent.running() as process:
        agent.wait_for(lambda status: status["phase"] == "finished", process)
    *_, said, printed = log_of(agent).splitlines()
    assert "set up" in log_of(agent)
    assert said == "runctl: setup: cd /"
    assert eval(printed) == {
        "A": "spec",
        "B": "spec-setup",
        "HOME": os.environ["HOME"],
        "RUNCTL_ATTEMPT": "1",
        "RUNCTL_CHECKPOINT_DIR": str(agent.workdir / "checkpoints"),
        "RUNCTL_LOCK_DIR": str(tmp_path / "one" / "runctl" / "locks"),
        "RUNCTL_LOG_FILE": str(agent.workdir / "training.log"),
        "RUNCTL_RESUME_FROM": "",
        "RUNCTL_RUN": "test-run",
    }


def test_another_machine_resumes_from_the_newest(tmp_path: Path, s3: S3) -> None:
    first = machine(tmp_path, s3, "one", tiny(tmp_path / "one", steps=2, kill=int(signal.SIGKILL)))
    with first.running() as process:
        status = first.wait_for(lambda status: status["phase"] == "failed" and status["commits"] == 2, process)
        assert status["exit_code"] == 137
    resumed = [
        sys.executable,
        "-c",
        "import os; print(open(os.environ['RUNCTL_RESUME_FROM'], 'rb').name, os.environ['RUNCTL_ATTEMPT'])",
    ]
    second = machine(tmp_path, s3, "two", resumed)
    with second.running() as process:
        status = second.wait_for(lambda status: status["phase"] == "finished", process)
    assert (status["attempt"], status["epoch"], status["step"], status["commits"]) == (1, 2, 2, 0), "nothing is sent again"
    path = second.workdir / "checkpoints" / "model_step_2.pt"
    assert log_of(second).splitlines()[-1] == f"{path} 1"
    assert path.read_bytes() == (first.workdir / "checkpoints" / "model_step_2.pt").read_bytes()
    assert names(s3) == ["model_step_1.pt", "model_step_2.pt"]
    assert [manifest.epoch for manifest in committed(s3)] == [1, 1]


def test_an_agent_that_comes_back_adopts_the_training(tmp_path: Path, s3: S3) -> None:
    end = tmp_path / "end"
    agent = machine(tmp_path, s3, "one", tiny(tmp_path / "one", steps=2, until=end))
    process = agent.start()
    status = agent.wait_for(lambda status: status.get("commits") == 2 and status["phase"] == "training", process)
    process.kill()
    process.wait()
    with agent.running() as process:
        again = agent.wait_for(lambda status: status["phase"] == "training" and status["epoch"], process)
        assert (again["trainer_pid"], again["attempt"], again["epoch"]) == (status["trainer_pid"], 1, 1)
        end.touch()
        agent.wait_for(lambda status: status["phase"] == "finished", process)
    assert log_of(agent).count("runctl: setup") == 0
    assert names(s3) == ["model_step_1.pt", "model_step_2.pt"]


def test_a_setup_that_fails_is_the_end_and_says_why(tmp_path: Path, s3: S3) -> None:
    own = {"setup": ["echo before", "echo no such package >&2; (exit 4)", "echo never"]}
    agent = machine(tmp_path, s3, "one", ["touch", "started"], training=own)
    with agent.running() as process:
        status = agent.wait_for(lambda status: status["phase"] == "failed", process)
    assert status["exit_code"] is None
    assert "setup ended with exit code 4" in status["details"][0]
    assert "no such package" in status["details"]
    assert "never" not in log_of(agent).splitlines()
    assert not (agent.workdir / "started").exists()


def test_code_that_is_not_what_its_name_says_is_not_unpacked(tmp_path: Path, s3: S3) -> None:
    code = bundle(s3, {"train.py": "print('changed')\n"})
    key = code.removeprefix(f"s3://{s3.bucket}/")
    with s3.store() as store:
        store.put(key, b"something else")
    agent = machine(tmp_path, s3, "one", [sys.executable, "train.py"], training={"code": code})
    with agent.running() as process:
        status = agent.wait_for(lambda status: status["phase"] == "failed", process)
    assert "is not what its name says" in status["details"][0]
    assert not (agent.workdir / "train.py").exists()


def test_code_that_would_leave_the_workdir(tmp_path: Path, s3: S3) -> None:
    code = bundle(s3, {"../outside.py": "print('out')\n"})
    agent = machine(tmp_path, s3, "one", [sys.executable, "../outside.py"], training={"code": code})
    with agent.running() as process:
        status = agent.wait_for(lambda status: status["phase"] == "failed", process)
    assert "can't be unpacked" in status["details"][0]
    assert not (agent.workdir.parent / "outside.py").exists()


def test_a_command_that_is_not_there_fails(tmp_path: Path, s3: S3) -> None:
    agent = machine(tmp_path, s3, "one", ["there-is-no-such-command"])
    with agent.running() as process:
        status = agent.wait_for(lambda status: status["phase"] == "failed", process)
    assert status["exit_code"] == 127


def test_a_second_start_beside_it_is_refused(tmp_path: Path, s3: S3) -> None:
    end = tmp_path / "end"
    agent = machine(tmp_path, s3, "one", tiny(tmp_path / "one", steps=1, until=end))
    with agent.running() as process:
        agent.wait_for(lambda status: status["phase"] == "training", process)
        done = agent.exec(["true"])
        assert done.returncode == 6
        assert "is not started a second time" in done.stderr
        end.touch()
        agent.wait_for(lambda status: status["phase"] == "finished", process)


@pytest.mark.parametrize(("outcome", "starts"), [("finished", False), ("failed", True), ("lost", True)])
def test_the_next_boot(tmp_path: Path, s3: S3, outcome: str, starts: bool) -> None:
    """Outside EC2 nobody can say whether somebody asked for a failed one again: it begins."""
    command = ["bash", "-c", "echo $RUNCTL_ATTEMPT >> attempts; " + {"failed": "exit 3"}.get(outcome, "true")]
    agent = machine(
        tmp_path, s3, "one", ["bash", "-c", "echo $RUNCTL_ATTEMPT >> attempts; sleep 600"] if outcome == "lost" else command
    )
    process = agent.start()
    status = agent.wait_for(lambda status: status["phase"] == {"lost": "training"}.get(outcome, outcome), process)
    if outcome == "lost":
        agent.wait_for(lambda _: (agent.workdir / "attempts").exists(), process)
        os.killpg(int(status["trainer_pid"]), signal.SIGKILL)
    process.kill()
    process.wait()
    agent.env["RUNCTL_BOOT_ID"] = "another"
    process = agent.start()
    try:
        agent.wait_for(
            lambda status: status["phase"] in ("finished", "failed", "training") and status["attempt"] == (2 if starts else 1),
            process,
        )
        agent.wait_for(lambda _: (agent.workdir / "attempts").read_text().split() == (["1", "2"] if starts else ["1"]), process)
    finally:
        pid = agent.status()["trainer_pid"]
        if outcome == "lost" and pid:
            os.killpg(pid, signal.SIGKILL)
        process.kill()
        process.wait()


def test_the_worker_has_no_traceback_for_a_log_that_cant_be_written(tmp_path: Path, s3: S3) -> None:
    agent = machine(tmp_path, s3, "one", ["true"], training={"log_file": "no/such/folder.log"})
    with agent.running() as process:
        status = agent.wait_for(lambda status: status["phase"] == "failed", process)
    assert "No such file or directory" in status["details"][0]


def test_checkpoints_that_come_with_the_code_are_not_the_trainings(tmp_path: Path, s3: S3) -> None:
    """Neither sent nor resumed from, over the death of an agent too; what the training makes of them is."""
    code = bundle(s3, {"train.py": "", "checkpoints/base.json": "{}", "checkpoints/model_step_2.pt": "from the repository"})
    first = machine(tmp_path, s3, "one", tiny(tmp_path / "one", steps=2), training={"code": code})
    with first.running() as process:
        first.wait_for(lambda status: status["phase"] == "finished", process)
    assert names(s3) == ["model_step_1.pt", "model_step_2.pt"]
    again = machine(tmp_path, s3, "two", ["sh", "-c", "echo $RUNCTL_RESUME_FROM"], training={"code": code})
    with again.running() as process:
        again.wait_for(lambda status: status["phase"] == "finished", process)
    with again.running() as process:
        again.wait_for(lambda status: status["phase"] == "finished" and status["epoch"] == 2, process)
        again.command("flush")
    assert names(s3) == ["model_step_1.pt", "model_step_2.pt"]
    resumed = Path(log_of(again).splitlines()[-1])
    assert resumed == again.workdir / ".runctl-restored" / "model_step_2.pt", "in its place stands the repository's"
    assert saved(resumed) == saved(first.workdir / "checkpoints" / "model_step_2.pt")
