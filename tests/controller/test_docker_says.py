"""Where a Dockerfile is found, what images are named, and what docker's complaints mean."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from runctl.complaint import not_built, not_pushed, unreachable
from runctl.dockerfile import dockerfile_of
from runctl.exits import Unavailable
from runctl.reference import default, parse
from runctl_agent.errors import ConfigError, NotFoundError, RefusedError, RunctlError, UsageError, WrongStateError

SOCKET = "unix:///var/run/docker.sock"
DOWN = "Cannot connect to the Docker daemon at {}. Is the docker daemon running?"
BUILDKIT = """#6 0.312 training
------
 > [2/2] RUN python train.py:
------
Dockerfile:2
   2 | >>> RUN python train.py
ERROR: failed to solve: {}

View build details: docker-desktop://dashboard/build/default/x
"""
ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"


def there(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("FROM scratch\n")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["Dockerfile"], "Dockerfile"),
        (["Containerfile"], "Containerfile"),
        (["Dockerfile", "docker/Dockerfile", "Dockerfile.gpu"], "Dockerfile"),
        (["docker/Dockerfile"], "docker/Dockerfile"),
        ([".devcontainer/Dockerfile", "deploy/Dockerfile"], "deploy/Dockerfile"),
        (["Dockerfile.gpu", "Dockerfile.gpu.dockerignore"], "Dockerfile.gpu"),
        (["docker/train.Dockerfile"], "docker/train.Dockerfile"),
    ],
)
def test_a_dockerfile_is_found_where_people_put_it(tmp_path: Path, names: list[str], found: str) -> None:
    there(tmp_path, *names)
    assert dockerfile_of(str(tmp_path)) == str(tmp_path / found)


def test_a_folder_of_that_name_is_none(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").mkdir()
    with pytest.raises(NotFoundError, match="there is no Dockerfile in"):
        dockerfile_of(str(tmp_path))


def test_of_several_the_user_says_which(tmp_path: Path) -> None:
    there(tmp_path, "Dockerfile.cpu", "Dockerfile.gpu")
    with pytest.raises(UsageError) as told:
        dockerfile_of(str(tmp_path))
    assert (told.value.why, told.value.mend) == (
        "Dockerfile.cpu, Dockerfile.gpu",
        f"say which: --file {tmp_path / 'Dockerfile.cpu'}",
    )
    assert dockerfile_of(str(tmp_path), "Dockerfile.gpu") == str(tmp_path / "Dockerfile.gpu")


def test_a_named_one_is_looked_for_from_here_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there(tmp_path, "mine", "project/mine")
    monkeypatch.chdir(tmp_path)
    assert dockerfile_of("project", "mine") == "mine"
    with pytest.raises(NotFoundError, match="there is no Dockerfile other"):
        dockerfile_of("project", "other")


def test_what_is_no_folder(tmp_path: Path) -> None:
    there(tmp_path, "Dockerfile")
    with pytest.raises(UsageError, match="this is a file") as told:
        dockerfile_of(str(tmp_path / "Dockerfile"))
    assert told.value.mend == f"runctl docker build {tmp_path} --file {tmp_path / 'Dockerfile'}"
    with pytest.raises(UsageError, match="there is no such folder"):
        dockerfile_of(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag"),
    [
        ("train", "", "train", "latest"),
        ("me/train:1.0", "", "me/train", "1.0"),
        ("localhost/train", "localhost", "train", "latest"),
        ("127.0.0.1:5000/train:x", "127.0.0.1:5000", "train", "x"),
        (f"{ECR}/team/train:x", ECR, "team/train", "x"),
    ],
)
def test_names_of_images(text: str, registry: str, repository: str, tag: str) -> None:
    found = parse(text)
    assert (found.registry, found.repository, found.tag) == (registry, repository, tag)


@pytest.mark.parametrize("text", ["", "Train", "a b", "a//b", "a:", "a:b:c", "-a", "--help", "a\x1b[2J", "x:" + "y" * 129, "a@b"])
def test_what_is_no_name_of_an_image(text: str) -> None:
    with pytest.raises(UsageError, match="no name of an image"):
        parse(text)


@pytest.mark.parametrize(
    ("registry", "ecr"),
    [
        (ECR, ("123456789012", "eu-central-1")),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", ("123456789012", "cn-north-1")),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", ("123456789012", "us-gov-west-1")),
        ("ghcr.io", None),
        ("evil.example/123456789012.dkr.ecr.x.amazonaws.com", None),
        ("public.ecr.aws", None),
    ],
)
def test_which_registry_is_ecrs(registry: str, ecr: tuple[str, str] | None) -> None:
    assert parse(f"{registry}/train").ecr == ecr


def test_the_name_that_nobody_gave(tmp_path: Path) -> None:
    folder = tmp_path / "My Project_2"
    there(folder, "Dockerfile")
    assert str(default(str(folder))) == "runctl/my-project-2:latest"
    git = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@x"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *command], check=True)
    commit = default(str(folder)).tag
    assert len(commit) == 12
    (folder / "Dockerfile").write_text("FROM other\n")
    assert default(str(folder)).tag == f"{commit}-dirty"


@pytest.mark.parametrize(
    ("said", "kind", "mend"),
    [
        ("The command '/bin/sh -c exit 7' returned a non-zero code: 7", ConfigError, "mend that command in docker/Dockerfile"),
        (BUILDKIT.format('process "/bin/sh -c x" did not complete successfully: exit code: 7'), ConfigError, "mend that command"),
        ('building at STEP "RUN exit 7": while running runtime: exit status 7', ConfigError, "mend that command"),
        ("COPY failed: file not found in build context: stat a: file does not exist", ConfigError, "paths are from /project"),
        (
            BUILDKIT.format('failed to compute cache key: "/a": not found'),
            ConfigError,
            "paths",
        ),
        ('building at STEP "COPY a /a": copier: stat: "/a": no such file or directory', ConfigError, "paths are from /project"),
        ("dockerfile parse error on line 3: unknown instruction: FRUM", ConfigError, "mend docker/Dockerfile"),
        ("no FROM statement found", ConfigError, "mend docker/Dockerfile"),
        (
            "pull access denied for x, repository does not exist or may require 'docker login'",
            NotFoundError,
            "correct FROM",
        ),
        (BUILDKIT.format("x:1: failed to resolve source metadata for docker.io/library/x:1: not found"), NotFoundError, "FROM"),
        ("manifest for pytorch/pytorch:9 not found: manifest unknown: manifest unknown", NotFoundError, "correct FROM"),
        ("no matching manifest for linux/arm64/v8 in the manifest list entries", ConfigError, "--platform"),
        ("exec /bin/sh: exec format error\nThe command '/bin/sh' returned a non-zero code: 1", ConfigError, "--platform"),
        (
            "/x: no space left on device\nThe command 'x' returned a non-zero code: 1",
            WrongStateError,
            "docker system prune",
        ),
        ('Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: no such host', Unavailable, "registry"),
        ("pip: not found\nThe command 'pip' returned a non-zero code: 127", ConfigError, "mend that command"),
        ("something new", ConfigError, "stands above"),
        ("", ConfigError, "stands above"),
    ],
)
def test_why_nothing_was_built(said: str, kind: type[RunctlError], mend: str) -> None:
    error = not_built(said, "docker/Dockerfile", "/project")
    assert type(error) is kind, error.full
    assert mend in error.mend
    assert error.what == "docker/Dockerfile was not built"
    assert error.why


def test_the_last_word_is_dockers() -> None:
    error = not_built(BUILDKIT.format("no"), "Dockerfile", "/")
    assert error.why == "ERROR: failed to solve: no"
    assert len(not_built("x" * 10_000, "Dockerfile", "/").why) < 500


@pytest.mark.parametrize(
    ("said", "host", "kind", "mend"),
    [
        (DOWN.format(SOCKET), "", WrongStateError, "start it"),
        (DOWN.format("tcp://x:1"), "tcp://x:1", WrongStateError, "unset DOCKER_HOST"),
        ("permission denied while trying to connect to the Docker daemon socket", "", WrongStateError, "usermod -aG docker"),
        ('unable to resolve docker endpoint: context "x": context not found', "", ConfigError, "docker context use default"),
        ("something new", "", WrongStateError, "docker version"),
    ],
)  # fmt: skip
def test_why_the_engine_does_not_answer(said: str, host: str, kind: type[RunctlError], mend: str) -> None:
    error = unreachable(said, host)
    assert type(error) is kind
    assert mend in error.mend


@pytest.mark.parametrize(
    ("said", "image", "kind", "mend"),
    [
        ("denied: User is not authorized to perform: ecr:InitiateLayerUpload", f"{ECR}/x:1", RefusedError, "ecr:PutImage"),
        ("unauthorized: authentication required", "ghcr.io/x:1", RefusedError, "docker login ghcr.io"),
        ("name unknown: The repository with name 'x' does not exist", "ghcr.io/x:1", NotFoundError, "make the repository"),
        ("dial tcp 10.0.0.1:443: i/o timeout", "ghcr.io/x:1", Unavailable, "goes on"),
        ("something new", "ghcr.io/x:1", RefusedError, "docker push ghcr.io/x:1"),
    ],
)
def test_why_nothing_was_pushed(said: str, image: str, kind: type[RunctlError], mend: str) -> None:
    error = not_pushed(f"The push refers to repository [x]\n{said}\n", image)
    assert type(error) is kind
    assert mend.replace("ecr:PutImage", "PutImage") in error.mend
    assert error.why == said
