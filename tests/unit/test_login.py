"""How docker logs in to ECR: by its helper, and by what somebody has said before that."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.errors import RunctlError
from runctl_agent.life.pulling import Pulling
from runctl_agent.training.login import with_helper
from tests.contract.strategies import json_values
from tests.fakes.clock import FakeRuntime

HOST = "111122223333.dkr.ecr.us-east-1.amazonaws.com"
IMAGE = f"{HOST}/runctl/train:1"

DOCKER = """#!/bin/sh
case $1 in
image) echo "No such image: $5" >&2; exit 1 ;;
pull) cat "${DOCKER_CONFIG:-$HOME/.docker}/config.json" > seen
      echo "${DOCKER_CONFIG:-none} $(stat -c %a "$DOCKER_CONFIG")" > where
      echo "no basic auth credentials" >&2; exit 1 ;;
esac
"""


class Machine:
    """With docker, the helper if it is wanted, and a configuration of the agent's user."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, helper: bool) -> None:
        self.folder = folder
        monkeypatch.chdir(folder)
        monkeypatch.setenv("HOME", str(folder))
        monkeypatch.setenv("PATH", f"{folder / 'bin'}:/usr/bin:/bin")
        monkeypatch.delenv("DOCKER_CONFIG", raising=False)
        (folder / "bin").mkdir()
        self.program("docker", DOCKER)
        if helper:
            self.program("docker-credential-ecr-login", "#!/bin/sh\n")
        (folder / ".docker").mkdir()
        self.config = folder / ".docker" / "config.json"
        self.config.write_text('{"proxies": {"default": {"httpProxy": "http://p"}}}')

    def program(self, name: str, text: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(text)
        path.chmod(0o755)

    def pull(self, image: str) -> tuple[RunctlError, dict[str, object]]:
        """Why it was refused, and the configuration that the client had."""
        with pytest.raises(RunctlError) as refused:
            Pulling(FakeRuntime(), image, lambda _: None, lambda _: None).run()
        return refused.value, json.loads((self.folder / "seen").read_text())


def test_the_helper_is_used_and_all_else_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path, monkeypatch, helper=True)
    before = machine.config.read_bytes()
    error, seen = machine.pull(IMAGE)
    assert seen == {"proxies": {"default": {"httpProxy": "http://p"}}, "credHelpers": {HOST: "ecr-login"}}
    where, mode = (tmp_path / "where").read_text().split()
    assert mode == "700"
    assert not os.path.exists(where), "what was made for the pull is gone with it"
    assert machine.config.read_bytes() == before
    assert "runctl iam agent --images" in error.mend


def test_without_the_helper_it_is_said_what_the_image_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error, seen = Machine(tmp_path, monkeypatch, helper=False).pull(IMAGE)
    assert "credHelpers" not in seen
    assert "amazon-ecr-credential-helper" in error.mend


def test_other_registries_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, seen = Machine(tmp_path, monkeypatch, helper=True).pull("ghcr.io/me/train:1")
    assert "credHelpers" not in seen


@pytest.mark.parametrize(
    "config",
    [
        {"auths": {HOST: {"auth": "eA=="}}},
        {"credHelpers": {HOST: "own"}},
        {"credsStore": "pass"},
        {"currentContext": "rootless"},
        {"auths": []},
        [],
    ],
)
def test_what_somebody_has_said_goes_before(config: object) -> None:
    assert with_helper(json.dumps(config).encode(), IMAGE) is None


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_configuration_can_be_read(config: bytes) -> None:
    found = with_helper(config, IMAGE)
    assert found is None or json.loads(found)["credHelpers"][HOST] == "ecr-login"
