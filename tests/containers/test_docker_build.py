"""`runctl docker build` by the real client, engine and registry: what is built runs, what is pushed comes back."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.containers.distribution import PASSWORD, Ecr, distribution, ecr
from tests.containers.podman import IMAGE, Engine
from tests.controller.stage import RUNCTL

DOCKERFILE = f"FROM {IMAGE}\nCOPY train.py /train.py\nRUN echo from inside\n"


class Project:
    def __init__(self, folder: Path, docker: Engine) -> None:
        self.folder = folder
        self.folder.mkdir()
        self.env = {
            **os.environ,
            "DOCKER_HOST": docker.host,
            "DOCKER_BUILDKIT": "0",
            "HOME": str(folder),
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "GIT_CEILING_DIRECTORIES": str(folder.parent),
        }
        self.writes(DOCKERFILE)
        (folder / "train.py").write_text("echo trained\n")

    def writes(self, dockerfile: str) -> None:
        (self.folder / "Dockerfile").write_text(dockerfile)

    def build(self, *arguments: str, code: int = 0, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        argv = [RUNCTL, "docker", "build", *arguments]
        environ = {**self.env, **(env or {})}
        done = subprocess.run(argv, cwd=self.folder, env=environ, capture_output=True, text=True, check=False, timeout=240)
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def refused(self, code: int, *arguments: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
        error: dict[str, Any] = json.loads(self.build("--json", *arguments, code=code, env=env).stdout)["error"]
        return error


@pytest.fixture
def project(tmp_path: Path, docker: Engine) -> Project:
    return Project(tmp_path / "project", docker)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, _engine: Engine) -> Iterator[str]:
    with distribution(tmp_path_factory.mktemp("registry"), _engine.tls) as found:
        yield found


@pytest.fixture
def of_ecr(registry: str) -> Iterator[Ecr]:
    with ecr(registry) as found:
        yield found


def test_what_is_built_trains(project: Project, docker: Engine) -> None:
    done = project.build()
    assert done.stdout.startswith("built runctl/project:latest (")
    assert "from inside\n" in done.stderr, "what it prints is seen"
    assert docker.docker("run", "--rm", "runctl/project:latest", "python3", "/train.py") == "trained"
    assert (
        docker.docker("image", "inspect", "--format", "{{.Id}}", "runctl/project:latest")
        == json.loads(project.build("--json").stdout)["id"]
    )


@pytest.mark.parametrize(
    ("dockerfile", "code", "mend"),
    [
        (f"FROM {IMAGE}\nRUN exit 7\n", 3, "mend that command in Dockerfile"),
        (f"FROM {IMAGE}\nRUN there-is-no-such-program\n", 3, "mend that command in Dockerfile"),
        (f"FROM {IMAGE}\nCOPY nothing /\n", 3, "paths are from {folder}"),
        (f"FROM {IMAGE}\nFRUM x\n", 3, "mend Dockerfile"),
        ("", 3, "mend Dockerfile"),
        ("FROM 127.0.0.1:1/nothing\n", 7, "check the engine's way to the registry"),
    ],
)
def test_what_fails_is_told_with_its_mend(project: Project, dockerfile: str, code: int, mend: str) -> None:
    project.writes(dockerfile)
    error = project.refused(code)
    assert error["what"] == "Dockerfile was not built"
    assert mend.format(folder=project.folder) in error["mend"]
    assert "DEPRECATED" not in error["why"], "of all that it prints, the cause"


def test_a_base_that_nobody_has(project: Project, registry: str) -> None:
    project.writes(f"FROM {registry}/nothing-there\n")
    error = project.refused(5)
    assert error["mend"].startswith("correct FROM in Dockerfile; of a private registry: docker login")


def test_what_is_pushed_comes_back(project: Project, docker: Engine, of_ecr: Ecr) -> None:
    found = json.loads(project.build("--json", "--push", env={"AWS_ENDPOINT_URL_ECR": of_ecr.endpoint}).stdout)
    assert found["image"] == f"{of_ecr.registry}/runctl/project:latest"
    assert of_ecr.repositories == ["runctl/project"]
    docker.docker("image", "rm", "--force", found["id"])
    docker.docker("login", "--username", "AWS", "--password", PASSWORD, of_ecr.registry)
    try:
        docker.docker("pull", f"{of_ecr.registry}/runctl/project@{found['digest']}")
    finally:
        docker.docker("logout", of_ecr.registry)
    assert not (project.folder / ".docker").exists(), "no login is left"


def test_a_token_that_the_registry_does_not_know(project: Project, of_ecr: Ecr) -> None:
    of_ecr.password = "another"
    error = project.refused(4, "--push", env={"AWS_ENDPOINT_URL_ECR": of_ecr.endpoint})
    assert error["what"] == f"docker could not log in to {of_ecr.registry}"
    assert "aws sts get-caller-identity" in error["mend"]


def test_without_a_login_of_ones_own(project: Project, registry: str) -> None:
    error = project.refused(4, "--tag", f"{registry}/mine:1", "--push")
    assert error["mend"] == f"log in: docker login {registry}"


def test_an_engine_that_does_not_run(project: Project) -> None:
    gone = f"unix://{project.folder}/nowhere"
    error = project.refused(6, env={"DOCKER_HOST": gone})
    assert error["mend"] == f"start the engine at {gone}, or unset DOCKER_HOST"


def test_a_context_that_is_not_there(project: Project) -> None:
    (project.folder / ".docker").mkdir()
    (project.folder / ".docker" / "config.json").write_text('{"currentContext": "elsewhere"}')
    environ = {name: value for name, value in project.env.items() if name != "DOCKER_HOST"}
    done = subprocess.run(
        [RUNCTL, "docker", "build"], cwd=project.folder, env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 3, done.stderr
    assert "docker context use default" in done.stderr
