"""`runctl docker build` with moto's ECR, and a docker client that does as it is told: what real engines do is in
tests/containers."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from boto3.session import Session

from runctl import documents
from tests.controller import schemas
from tests.controller.stage import RUNCTL
from tests.e2e.seaweed import REGION, SECRET

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

ACCOUNT = "123456789012"  # moto's
REGISTRY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
DIGEST = "sha256:" + "0" * 64

CLIENT = """#!/bin/sh
printf '%s\\n' "$*" >> "$CALLS"
case "$1" in
version) [ -z "$DOWN" ] || { echo "$DOWN" >&2; exit 1; }; echo amd64 ;;
build) echo "Step 1/1 : FROM scratch"; [ -z "$BROKEN" ] || { echo "$BROKEN" >&2; exit 1; } ;;
image) echo "sha256:0123 1048576 amd64" ;;
login) cat > "$CALLS.password"; cat "$DOCKER_CONFIG/config.json" > "$CALLS.config"; echo "$DOCKER_CONFIG" > "$CALLS.folder" ;;
push) [ -z "$REFUSED" ] || { echo "$REFUSED" >&2; exit 1; }; echo "1: digest: %s size: 500" ;;
esac
""".replace("%s size", f"{DIGEST} size")


class Place:
    """A folder with a Dockerfile, and what the client was asked."""

    def __init__(self, tmp_path: Path, endpoint: str) -> None:
        self.folder = tmp_path / "project"
        self.folder.mkdir()
        (self.folder / "Dockerfile").write_text("FROM scratch\n")
        self._calls = tmp_path / "calls"
        programs = tmp_path / "programs"
        programs.mkdir()
        self.client = programs / "docker"
        self.client.write_text(CLIENT)
        self.client.chmod(self.client.stat().st_mode | stat.S_IXUSR)
        self.home = tmp_path / "home"
        (self.home / ".docker").mkdir(parents=True)
        self.env = {
            **os.environ,
            "PATH": f"{programs}:/usr/bin:/bin",
            "HOME": str(self.home),
            "CALLS": str(self._calls),
            "AWS_ENDPOINT_URL_ECR": endpoint,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "admin",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "GIT_CEILING_DIRECTORIES": str(tmp_path),
        }

    def build(self, *arguments: str, code: int = 0, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        argv = [RUNCTL, "docker", "build", *arguments]
        done = subprocess.run(
            argv, cwd=self.folder, env={**self.env, **(env or {})}, capture_output=True, text=True, check=False, timeout=120
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def json(self, *arguments: str, code: int = 0, env: Mapping[str, str] | None = None) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.build("--json", *arguments, code=code, env=env).stdout)
        schemas.check(schemas.ERROR if code else "docker-build", found)
        return found

    def calls(self) -> list[str]:
        return self._calls.read_text().splitlines() if self._calls.exists() else []

    def given(self, what: str) -> str:
        return Path(f"{self._calls}.{what}").read_text()


@pytest.fixture
def place(tmp_path: Path, _moto: str) -> Place:
    return Place(tmp_path, _moto)


@pytest.fixture
def ecr(_moto: str) -> Iterator[ECRClient]:
    client = Session("admin", SECRET, region_name=REGION).client("ecr", endpoint_url=_moto)
    yield client
    for one in client.describe_repositories()["repositories"]:
        client.delete_repository(repositoryName=one["repositoryName"], force=True)
    client.close()


def test_it_is_built_and_said(place: Place) -> None:
    done = place.build()
    assert done.stdout == "built runctl/project:latest (1.0 MiB)\n"
    assert "Step 1/1 : FROM scratch\n" in done.stderr
    assert done.stderr.endswith("an instance can't see it before it is pushed: --push\n")
    assert place.calls()[1] == "build --tag runctl/project:latest --file Dockerfile ."


def test_the_document(place: Place) -> None:
    found = place.json("--tag", "mine:2")
    assert found.keys() == documents.Image.__annotations__.keys()
    assert found == {
        "image": "mine:2",
        "id": "sha256:0123",
        "bytes": 1048576,
        "architecture": "amd64",
        "dockerfile": "Dockerfile",
        "pushed": False,
        "digest": "",
    }


def test_a_folder_and_a_file_elsewhere(place: Place) -> None:
    (place.folder / "sub" / "docker").mkdir(parents=True)
    (place.folder / "sub" / "docker" / "Dockerfile").write_text("FROM scratch\n")
    place.build("sub")
    assert place.calls()[1] == "build --tag runctl/sub:latest --file sub/docker/Dockerfile sub"


def test_another_processor_is_asked_for_only_where_it_is_another(place: Place) -> None:
    place.client.write_text(CLIENT.replace("echo amd64", "echo arm64"))
    done = place.build()
    assert "for linux/amd64, on linux/arm64: that takes longer" in done.stderr
    assert "--platform linux/amd64" in place.calls()[1]
    place.build("--platform", "linux/arm64")
    assert "--platform linux/arm64" in place.calls()[4]


def test_a_push_makes_the_repository_once(place: Place, ecr: ECRClient) -> None:
    done = place.build("--push")
    assert done.stdout == f"pushed {REGISTRY}/runctl/project:latest (1.0 MiB)\n"
    assert "made the repository runctl/project\n" in done.stderr
    assert f"training: {{image: {REGISTRY}/runctl/project:latest@{DIGEST}}}" in done.stderr
    (made,) = ecr.describe_repositories()["repositories"]
    assert made["repositoryName"] == "runctl/project"
    again = place.json("--push")
    assert (again["pushed"], again["digest"]) == (True, DIGEST)
    assert "made the repository" not in place.build("--push").stderr


@pytest.mark.usefixtures("ecr")
def test_the_password_is_seen_by_nobody_and_kept_nowhere(place: Place) -> None:
    own = {"auths": {"ghcr.io": {"auth": "eA=="}}, "credsStore": "desktop", "currentContext": "default"}
    (place.home / ".docker" / "config.json").write_text(json.dumps(own))
    (place.home / ".docker" / "contexts").mkdir()
    done = place.build("--push")
    assert place.given("password")
    assert place.given("password") not in "\n".join(place.calls()) + done.stdout + done.stderr
    assert f"login --username AWS --password-stdin {REGISTRY}" in place.calls()
    assert json.loads(place.given("config")) == {"currentContext": "default"}, "the same engine, and no registry of theirs"
    assert not Path(place.given("folder").strip()).exists()
    assert json.loads((place.home / ".docker" / "config.json").read_text()) == own


def test_another_registry_is_the_users_own_affair(place: Place) -> None:
    done = place.build("--push", "--tag", "ghcr.io/me/train:1", env={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""})
    assert done.stdout == "pushed ghcr.io/me/train:1 (1.0 MiB)\n"
    assert place.calls()[-1] == "push ghcr.io/me/train:1"
    assert not any(call.startswith("login") for call in place.calls())


def test_a_registry_of_ecrs_that_is_named(place: Place, ecr: ECRClient) -> None:
    other = f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com"
    done = place.build("--push", "--tag", f"{other}/team/train:1")
    assert done.stdout.startswith(f"pushed {other}/team/train:1 ")
    assert f"login --username AWS --password-stdin {other}" in place.calls()
    assert ecr.describe_repositories()["repositories"] == [], "it is made in its own region"


def test_nothing_is_built_where_it_could_not_be_pushed(place: Place) -> None:
    nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}
    error = place.json("--push", code=4, env=nobody)["error"]
    assert error["what"] == "ecr:GetAuthorizationToken"
    assert "AWS_PROFILE" in error["mend"]
    assert [call.split()[0] for call in place.calls()] == ["version"]


def test_a_push_that_is_refused(place: Place, ecr: ECRClient) -> None:
    refused = "denied: User is not authorized to perform: ecr:InitiateLayerUpload"
    error = place.json("--push", code=4, env={"REFUSED": refused})["error"]
    assert error["what"] == f"{REGISTRY}/runctl/project:latest was not pushed"
    assert error["why"] == refused
    assert "ecr:BatchCheckLayerAvailability" in error["mend"]
    assert not Path(place.given("folder").strip()).exists()
    assert len(ecr.describe_repositories()["repositories"]) == 1


def test_no_dockerfile(place: Place) -> None:
    (place.folder / "Dockerfile").unlink()
    error = place.json(code=5)["error"]
    assert "there is no Dockerfile in" in error["what"]
    assert "--file PATH" in error["mend"]
    assert place.calls() == []


def test_no_docker(place: Place) -> None:
    place.client.unlink()
    error = place.json(code=5, env={"PATH": str(place.client.parent)})["error"]
    assert error["why"] == "this machine has no docker"
    assert "install it" in error["mend"]


def test_an_engine_that_does_not_run(place: Place) -> None:
    down = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
    done = place.build(code=6, env={"DOWN": down})
    assert done.stderr.startswith(f"docker can't be used: {down}\n  mend: start it: ")
    assert len(place.calls()) == 1


def test_a_build_that_fails(place: Place) -> None:
    done = place.build("--json", code=3, env={"BROKEN": "The command '/bin/sh -c exit\x1b[2J 7' returned a non-zero code: 7"})
    error = json.loads(done.stdout)["error"]
    assert error["what"] == "Dockerfile was not built"
    assert "mend that command in Dockerfile" in error["mend"]
    assert "\x1b" not in done.stderr, "what a build prints does not command the terminal"
    assert [call.split()[0] for call in place.calls()] == ["version", "build"]


def test_a_name_that_is_none(place: Place) -> None:
    assert "no name of an image" in place.json("--tag", "My Image", code=2)["error"]["what"]
    assert place.calls() == []
