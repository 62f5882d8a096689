"""The image comes from a registry, or does not: what a person has to mend ends the run, and says what mends it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.podman import IMAGE, Engine
from tests.containers.registry import Registry, registry
from tests.containers.test_image import machine, to_the_end
from tests.e2e.committed import names
from tests.e2e.seaweed import S3


@pytest.fixture
def served(docker: Engine, tmp_path: Path) -> Iterator[Registry]:
    with registry(docker, IMAGE, tmp_path) as found:
        yield found


def test_it_is_pulled_and_the_state_says_so(tmp_path: Path, s3: S3, docker: Engine, served: Registry) -> None:
    image = served.image("known")
    agent = machine(tmp_path, s3, docker, "one", 1, image=image)
    with agent.running() as process:
        status = agent.wait_for(lambda status: f"pulling {image}" in json.dumps(status), process)
        assert status["phase"] == "setup"
        served.open.set()
        agent.wait_for(lambda status: status["phase"] == "finished", process)
    assert names(s3) == ["model_step_1.bin"]
    docker.docker("image", "rm", image)


@pytest.mark.parametrize(("name", "mend"), [("unknown", "docker push"), ("secret", "docker login")])
def test_what_a_person_has_to_mend(tmp_path: Path, s3: S3, docker: Engine, served: Registry, name: str, mend: str) -> None:
    agent = machine(tmp_path, s3, docker, "one", 1, image=served.image(name))
    told = json.dumps(to_the_end(agent, "failed"))
    assert f"image {served.image(name)} can't be had" in told
    assert mend in agent.log.read_text()
    assert (docker.names(), names(s3)) == ([], [])
    assert not (agent.workdir / "training.pid").exists()


def test_a_pull_ends_with_the_agent(tmp_path: Path, s3: S3, docker: Engine, served: Registry) -> None:
    agent = machine(tmp_path, s3, docker, "one", 1, image=served.image("known"))
    with agent.running() as process:
        agent.wait_for(lambda status: "pulling" in json.dumps(status), process)
    assert docker.names() == []
