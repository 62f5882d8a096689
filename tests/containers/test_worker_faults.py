"""The worker that makes and starts the container is hit in the middle, by a client that does so and is else the real one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psutil

from tests.containers.podman import Engine
from tests.containers.test_image import log_of, machine, record_of, to_the_end, wrappers
from tests.e2e.committed import names
from tests.e2e.seaweed import S3


def test_the_daemon_is_down_when_it_ends(tmp_path: Path, s3: S3, docker: Engine) -> None:
    end = tmp_path / "one" / "work" / "end"
    agent = machine(tmp_path, s3, docker, "one", 1, end, 7)
    with agent.running() as process:
        status = agent.wait_for(lambda status: status.get("commits") == 1 and status["phase"] == "training", process)
        docker.stop()
        try:
            end.touch()
            agent.wait_for(lambda _: not psutil.pid_exists(status["trainer_pid"]), process)
        finally:
            docker.start()
        status = agent.wait_for(lambda status: status["phase"] == "failed", process)
    assert (status["exit_code"], docker.names()) == (7, [])


def test_it_is_stopped_while_the_daemon_is_down(tmp_path: Path, s3: S3, docker: Engine) -> None:
    """Its signals come from the kernel, by the pid outside."""
    agent = machine(tmp_path, s3, docker, "one", 1, "never", 0)
    with agent.running() as process:
        agent.wait_for(lambda status: status.get("commits") == 1 and status["phase"] == "training", process)
        docker.stop()
        try:
            (wrapper,) = wrappers(agent)
            wrapper.terminate()
            agent.wait_for(lambda _: "saving on TERM" in log_of(agent), process)
        finally:
            docker.start()
        agent.wait_for(lambda status: status["phase"] == "finished", process)
    assert names(s3) == ["model_step_1.bin", "model_step_99.bin"]


def client(folder: Path, lines: str) -> dict[str, str]:
    """The environment in which `docker` does `lines` at its first start of a container."""
    path = folder / "bin" / "docker"
    path.parent.mkdir(parents=True)
    path.write_text(
        f'#!/bin/sh\nif [ "$2" = start ] && [ ! -e {folder}/once ]; then\n: >{folder}/once\n{lines}\nfi\n'
        f'exec {shutil.which("docker")} "$@"\n'
    )
    path.chmod(0o755)
    return {"PATH": f"{path.parent}:{os.environ['PATH']}"}


def test_killed_between_making_and_starting(tmp_path: Path, s3: S3, docker: Engine) -> None:
    agent = machine(tmp_path, s3, docker, "one", 1, agent_env=client(tmp_path, "kill -9 $PPID; exit 1"))
    assert to_the_end(agent, "finished")["attempt"] == 1
    assert (names(s3), docker.names()) == (["model_step_1.bin"], [])
    assert log_of(agent).count("the last line") == 1


def test_killed_when_it_has_just_been_started(tmp_path: Path, s3: S3, docker: Engine) -> None:
    lines = f'{shutil.which("docker")} "$@"; kill -9 $PPID; exit 1'
    agent = machine(tmp_path, s3, docker, "one", 1, agent_env=client(tmp_path, lines))
    assert to_the_end(agent, "finished")["attempt"] == 1
    assert (names(s3), docker.names()) == (["model_step_1.bin"], [])
    assert log_of(agent).count("the last line") == 1


def test_docker_will_not_start_it(tmp_path: Path, s3: S3, docker: Engine) -> None:
    said = 'could not select device driver "" with capabilities: [[gpu]]'
    agent = machine(tmp_path, s3, docker, "one", 1, agent_env=client(tmp_path, f"echo '{said}' >&2; exit 1"))
    assert to_the_end(agent, "failed")["exit_code"] == 125
    assert "nvidia-container-toolkit" in record_of(agent).error
    assert (names(s3), docker.names()) == ([], [])
