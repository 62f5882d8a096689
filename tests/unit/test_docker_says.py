"""What docker's own words mean: as its clients and daemons print them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.training.docker import env_file_of
from runctl_agent.training.docker_says import PATIENCE, explained, progress

DAEMON = "Error response from daemon: "
SOCKET = (
    "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock: "
    "dial unix /var/run/docker.sock: connect: permission denied"
)


@pytest.mark.parametrize(
    ("said", "mend", "patience"),
    [
        (
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
            "systemctl",
            PATIENCE,
        ),
        (
            SOCKET,
            "usermod -aG docker",
            0,
        ),
        (DAEMON + "manifest for pytorch/pytorch:nosuch not found: manifest unknown: manifest unknown", "docker push", 0),
        (
            DAEMON + "pull access denied for nosuch, repository does not exist or may require 'docker login': denied",
            "docker login",
            0,
        ),
        (
            DAEMON + 'Head "https://1.dkr.ecr.eu-west-1.amazonaws.com/v2/x/manifests/1": no basic auth credentials',
            "docker login",
            0,
        ),
        ("invalid reference format: repository name must be lowercase", "training.image", 0),
        (DAEMON + 'could not select device driver "" with capabilities: [[gpu]]', "nvidia-container-toolkit", 0),
        ("failed to register layer: write /x: no space left on device", "--disk", 0),
        (DAEMON + "no matching manifest for linux/arm64/v8 in the manifest list entries", "processor", 0),
        (
            DAEMON + 'Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: no such host',
            "docker pull",
            math.inf,
        ),
        (DAEMON + "toomanyrequests: You have reached your pull rate limit.", "docker pull", math.inf),
        ("", "docker pull", math.inf),
    ],
)
def test_what_mends_it(said: str, mend: str, patience: float) -> None:
    found = explained("image x can't be had", said)
    assert mend in found.error.mend
    assert found.patience == patience
    assert str(found.error).startswith("image x can't be had: ")


@given(st.text())
def test_anything_is_explained_shortly(said: str) -> None:
    assert len(explained("x", said).error.why) <= 401


@given(st.text())
def test_never_more_layers_than_there_are(said: str) -> None:
    here, known = progress(said)
    assert 0 <= here <= known


def test_only_what_the_client_obeys_goes_by_the_file() -> None:
    assert env_file_of({"A": "b", "PATH": "/x", "DOCKER_HOST": "y"}) == b"DOCKER_HOST=y\nPATH=/x\n"


def test_a_value_of_several_lines_would_be_several_variables() -> None:
    with pytest.raises(Exception, match="several lines"):
        env_file_of({"PATH": "/x\nEVIL=1"})


def test_a_layer_is_known_when_it_is_named_and_here_when_it_is_whole() -> None:
    printed = [
        "1.0: Pulling from pytorch/pytorch",
        "a: Pulling fs layer",
        "b: Waiting",
        "c: Already exists",
        "a: Download complete",
        "d: Downloading",
    ]
    assert progress("\n".join(printed)) == (1, 3)
    assert progress("\n".join([*printed, "a: Pull complete", "a: Pull complete"])) == (2, 3)
    assert progress("") == (0, 0)
