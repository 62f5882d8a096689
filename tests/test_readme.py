"""README.md is what really happens: its sessions are run as they stand, its other commands are there."""

from __future__ import annotations

import configparser
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.e2e.seaweed import S3
from tests.readme import DEMO, FENCE, README, ROOT, WRITTEN, Step

BUCKET = "my-checkpoints"
PATIENCE = 60.0

INDENTED = re.compile(r"(?:(?<=\n\n)|\A)(?: {4}.*\n)+")
SESSIONS = [session for session in WRITTEN if session[0] != DEMO]
COMMANDS = [line.strip() for block in INDENTED.findall(FENCE.sub("", README)) for line in block.splitlines()]


def clear(s3: S3) -> None:
    client = s3.client()
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for found in page.get("Contents", []):
            client.delete_object(Bucket=BUCKET, Key=found["Key"])


@pytest.fixture
def env(s3: S3, tmp_path: Path) -> Iterator[dict[str, str]]:
    """As on a machine of AWS, with the package installed and the bucket there."""
    client = s3.client()
    with suppress(client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(Bucket=BUCKET)
    clear(s3)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    own = {"PATH": path, "RUNTIME_DIRECTORY": str(tmp_path / "runctl")}
    yield {**os.environ, **s3.env, "AWS_EC2_METADATA_DISABLED": "true", **own}
    clear(s3)


@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session[0].command)
def test_the_session_is_real(session: list[Step], env: dict[str, str], tmp_path: Path) -> None:
    for step in session:
        if step.command.startswith("cat "):
            (tmp_path / step.command.removeprefix("cat ")).write_text(step.output)
    with ExitStack() as background:
        for step in session:
            if step.command.endswith("&"):
                background.callback(end, start(step, env, tmp_path))
            else:
                follow(step, env, tmp_path)
    assert "Traceback" not in "".join(path.read_text() for path in tmp_path.glob("*.log"))


def start(step: Step, env: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    assert not step.output
    return subprocess.Popen(["bash", "-c", f"exec {step.command.removesuffix('&')}"], env=env, cwd=folder)


def end(process: subprocess.Popen[bytes]) -> None:
    try:
        assert process.poll() is None, "it ended by itself"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


def follow(step: Step, env: dict[str, str], folder: Path) -> None:
    """Run it and compare. Whoever asks for the status within the second looks again."""
    limit = time.monotonic() + (PATIENCE if " status " in step.command else 0)
    while True:
        done = subprocess.run(
            ["bash", "-c", step.command],
            env=env,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        if re.fullmatch(step.pattern, done.stdout) or time.monotonic() > limit:
            break
        time.sleep(0.1)
    assert done.returncode == 0, done.stdout
    assert re.fullmatch(step.pattern, done.stdout), f"$ {step.command}\n{done.stdout}\nREADME.md says:\n{step.output}"


def test_make_demo_is_the_demo() -> None:
    """What it prints is compared where it is run: tests/e2e/test_demo.py."""
    recipe = subprocess.run(
        ["make", "--no-print-directory", "-n", "demo"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert recipe.splitlines()[-1] == ".venv/bin/runctl-demo"


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`(runctl(?:-agent)? [a-z]+)", README))))
def test_every_command_that_is_named_is_there(command: str) -> None:
    program, name = command.split()
    done = subprocess.run([Path(sys.executable).with_name(program), name, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_block_is_one_that_is_run() -> None:
    assert {kind for kind, _ in FENCE.findall(README)} == {"console"}
    assert SESSIONS
    assert [command for command in COMMANDS if not re.fullmatch(r"make [\w-]+", command)] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_what_make_is_asked_for_is_there(command: str) -> None:
    done = subprocess.run([*command.split(), "-n"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_pip_installs_is_whole(tmp_path: Path) -> None:
    assert "`pip install .`" in README
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        archive.extractall(tmp_path / "installed")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {ROOT / path for path in settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    sources = {str(path.relative_to(package.parent)) for package in packages for path in package.rglob("*.py")}
    assert sources == {name for name in names if name.endswith(".py")}
    assert {name.partition("/")[0] for name in names} == {package.name for package in packages}

    (entry_points,) = (tmp_path / "installed").glob("*.dist-info/entry_points.txt")
    parser = configparser.ConfigParser()
    parser.read(entry_points)
    assert parser["console_scripts"]["runctl"] == "runctl.cli:main"
    assert parser["console_scripts"]["runctl-agent"] == "runctl_agent.cli:main"
    call = "from runctl_agent.cli import main; main()"
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    told = subprocess.run([sys.executable, "-c", call, "--version"], env=env, check=True, capture_output=True, text=True)
    commit = (tmp_path / "installed" / "runctl_agent" / "commit.txt").read_text().strip()
    assert re.fullmatch(r"[0-9a-f]{12}(-dirty)?|of no commit", commit)
    assert told.stdout == f"runctl-agent {settings['project']['version']} ({commit})\n"


@pytest.mark.parametrize(
    ("said", "printed", "same"),
    [
        ("step 3 safe 1 s ago, 0 B behind", "step 3 safe 12 s ago, 0 B behind", True),
        ("step 3 safe 1 s ago, 0 B behind", "step 3 safe 1 s ago, 5 B behind", False),
        ("(step 3, 72.1 KiB, verified)", "(step 3, 900 B, verified)", True),
        ("(step 3, 72.1 KiB, verified)", "(step 2, 72.1 KiB, verified)", False),
        ("3 checkpoints committed", "2 checkpoints committed", False),
    ],
)
def test_only_ages_and_sizes_may_differ(said: str, printed: str, *, same: bool) -> None:
    assert bool(re.fullmatch(Step("", said).pattern, printed)) == same
