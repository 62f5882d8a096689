"""The worker that makes and starts the container is hit in the middle, by a client that does so and is else the real one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.containers.podman import Engine
from tests.containers.test_image import log_of, machine, record_of, to_the_end
from tests.e2e.committed import names
from tests.e2e.seaweed import S3


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
