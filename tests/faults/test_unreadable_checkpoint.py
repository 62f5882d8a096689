"""The agent's user may not read what the training's user wrote."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.bounded import USER, BoundedAgent, denied
from tests.e2e.committed import everything, names
from tests.e2e.seaweed import S3
from tests.fakes.trainer_disk import body


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "checkpoints"
    directory.mkdir()
    yield directory
    directory.chmod(0o755)  # or pytest could not remove it


def test_a_directory(tmp_path: Path, s3: S3, watched: Path) -> None:
    (watched / "model.pt").write_bytes(body("model.pt"))
    watched.chmod(0)
    agent = BoundedAgent(tmp_path, s3, checkpoints=watched, settle="300ms")
    with agent.running() as process:
        why = denied(agent.wait_for(lambda status: bool(denied(status)), process))
        assert f"user {USER} cannot read {watched}" in why
        assert f"chmod -R g+rX '{watched}'" in why
        assert "Permission denied" in why
        other = "root" if os.geteuid() else "the training's user"  # root may not either, where rights are bounded or on NFS
        assert why.endswith(f"or run the agent as {other}")
        agent.wait_for(lambda status: status["epoch"] == 1, process)
        assert not [key for key in everything(s3) if "/data/" in key or "/manifests/" in key]

        watched.chmod(0o755)
        agent.wait_for(lambda status: status["commits"] == 1 and not denied(status), process)
    assert names(s3) == ["model.pt"]


def test_a_file_among_others(tmp_path: Path, s3: S3, watched: Path) -> None:
    for name in ("good.pt", "secret.pt"):
        (watched / name).write_bytes(body(name))
    (watched / "secret.pt").chmod(0)
    agent = BoundedAgent(tmp_path, s3, checkpoints=watched, settle="300ms")
    with agent.running() as process:
        status = agent.wait_for(lambda status: status["commits"] == 1 and bool(denied(status)), process)
        assert f"user {USER} cannot read {watched / 'secret.pt'}" in denied(status)
        assert f"chmod -R g+rX '{watched / 'secret.pt'}'" in denied(status)
        assert names(s3) == ["good.pt"]

        done = agent.command("flush", check=False)
        assert done.returncode == 7
        assert f"user {USER} cannot read {watched / 'secret.pt'}" in done.stderr

        (watched / "secret.pt").chmod(0o600)
        agent.wait_for(lambda status: status["commits"] == 2 and not denied(status), process)
    assert names(s3) == ["good.pt", "secret.pt"]


@pytest.mark.parametrize("part", ["inside", "inside/model.pt"])
def test_a_part_of_a_directory_checkpoint_keeps_the_whole_back(tmp_path: Path, s3: S3, watched: Path, part: str) -> None:
    whole = watched / "checkpoint-5"
    (whole / "inside").mkdir(parents=True)
    for name in ("optimizer.pt", "inside/model.pt", "trainer_state.json"):
        (whole / name).write_bytes(body(name))
    (whole / part).chmod(0)
    agent = BoundedAgent(tmp_path, s3, checkpoints=watched, settle="300ms")
    with agent.running() as process:
        why = denied(agent.wait_for(lambda status: bool(denied(status)), process))
        assert f"user {USER} cannot read {whole / part}" in why
        agent.wait_for(lambda status: status["epoch"] == 1, process)
        assert names(s3) == []

        (whole / part).chmod(0o755)
        agent.wait_for(lambda status: status["commits"] == 1 and not denied(status), process)
    assert names(s3) == ["checkpoint-5"]


def test_doctor_names_it(tmp_path: Path, s3: S3, watched: Path) -> None:
    (watched / "model.pt").write_bytes(body("model.pt"))
    (watched / "model.pt").chmod(0)
    done = BoundedAgent(tmp_path, s3, checkpoints=watched, staging={"keep_free": 0}).command("doctor", check=False)
    assert done.returncode == 6
    assert (
        f"FAIL watched {watched}: user {USER} cannot read {watched / 'model.pt'}: Permission denied\n     mend: " in done.stdout
    )


def test_a_state_directory_that_may_not_be_written(tmp_path: Path, s3: S3, watched: Path) -> None:
    agent = BoundedAgent(tmp_path, s3, checkpoints=watched)
    agent.state_dir.mkdir(mode=0o555)
    for command in ("run", "flush", "doctor"):
        done = agent.command(command, check=False)
        assert done.returncode == 6
        assert str(agent.state_dir) in done.stderr
        assert "--state-dir" in done.stderr


def test_a_run_spec_that_may_not_be_read(tmp_path: Path, s3: S3, watched: Path) -> None:
    agent = BoundedAgent(tmp_path, s3, checkpoints=watched)
    agent.config.chmod(0)
    done = agent.command("run", check=False)
    assert done.returncode == 3
    assert "Permission denied" in done.stderr
    assert not agent.state_dir.exists()
