"""requirements.txt, uv.lock and PEP 723 by the real pip and uv, from a wheel made here and no index."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.agent import Agent
from tests.e2e.seaweed import S3
from tests.e2e.test_command import bundle, log_of, machine

TRAIN = "import tinydep, sys; print('with', tinydep.VERSION, 'of', sys.prefix)\n"
HEADER = '# /// script\n# requires-python = ">=3.11"\n# dependencies = ["tinydep"]\n# ///\n'
PROJECT = '[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["tinydep"]\n'
UV = Path(sys.executable).with_name("uv")


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    info = "tinydep-1.0.dist-info"
    files = {
        "tinydep.py": "VERSION = '1.0'\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: tinydep\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [f"{name},sha256={_digest(text)},{len(text)}" for name, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"]) + "\n"
    with zipfile.ZipFile(folder / "tinydep-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return folder


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def offline(wheels: Path, tmp_path: Path) -> dict[str, str]:
    return {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "UV_OFFLINE": "1",
        "UV_FIND_LINKS": str(wheels),
        "UV_NO_INDEX": "1",
        "UV_NO_CONFIG": "1",
        "UV_CACHE_DIR": str(tmp_path / "uv-cache"),
        "UV_PYTHON": sys.executable,
    }


def venv(tmp_path: Path, *, managed: bool = False) -> tuple[Path, str]:
    """A folder for PATH with an interpreter of its own, and its prefix; `managed`: as a distribution's, by PEP 668."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "own"], check=True)
    folder = tmp_path / "own" / "bin"
    if not managed:
        return folder, str(tmp_path / "own")
    bare = tmp_path / "managed"
    bare.mkdir()
    site = tmp_path / "site"
    site.mkdir()
    # A distribution's interpreter is not to be had everywhere: this one says of itself what a distribution's says.
    (site / "sitecustomize.py").write_text(
        "import sys, sysconfig\n"
        "if sys.prefix == sys.base_prefix:\n"
        "    old = sysconfig.get_path\n"
        f"    sysconfig.get_path = lambda name, *a, **k: {str(site)!r} if name == 'stdlib' else old(name, *a, **k)\n"
    )
    (site / "EXTERNALLY-MANAGED").write_text("[externally-managed]\nError=this machine's own\n")
    for name in ("python", "python3"):
        (bare / name).write_text(f'#!/bin/sh\nPYTHONPATH={site} exec {os.path.realpath(sys.executable)} "$@"\n')
        (bare / name).chmod(0o755)
    return bare, str(site)


def trained(
    tmp_path: Path,
    s3: S3,
    files: Mapping[str, str],
    command: list[str],
    env: Mapping[str, str],
    *,
    phase: str = "finished",
    **own: Any,
) -> tuple[Agent, dict[str, Any]]:
    training = {"code": bundle(s3, files), "env": dict(env), **own}
    agent = machine(tmp_path, s3, "one", command, training=training)
    with agent.running() as process:
        status = agent.wait_for(lambda status: status["phase"] in ("finished", "failed"), process)
    assert status["phase"] == phase, log_of(agent)
    return agent, status


def before(path: Path) -> list[str]:
    """A login puts PATH in order: what comes first comes by the setup lines."""
    return [f"export PATH={path}:$PATH"]


def test_requirements_are_installed_for_the_commands_interpreter_and_announced(tmp_path: Path, s3: S3, wheels: Path) -> None:
    path, prefix = venv(tmp_path)
    files = {"train.py": TRAIN, "requirements.txt": "tinydep\n"}
    agent, _ = trained(tmp_path, s3, files, ["python", "train.py"], offline(wheels, tmp_path), setup=before(path))
    assert f"runctl: requirements.txt is installed for {path}/python\n" in log_of(agent)
    assert f"runctl: setup: {path}/python -m pip install -r requirements.txt\n" in log_of(agent)
    assert log_of(agent).splitlines()[-1] == f"with 1.0 of {prefix}"
    assert f"requirements.txt is installed for {path}/python" in agent.log.read_text()


def test_what_can_not_be_installed_is_a_failure_with_its_last_lines(tmp_path: Path, s3: S3, wheels: Path) -> None:
    path, _ = venv(tmp_path)
    files = {"train.py": "open('ran', 'w')\n", "requirements.txt": "no-such-package\n"}
    env = offline(wheels, tmp_path)
    agent, status = trained(tmp_path, s3, files, ["python", "train.py"], env, phase="failed", setup=before(path))
    assert any("No matching distribution found for no-such-package" in line for line in status["details"])
    assert not (agent.workdir / "ran").exists()


def test_lines_that_install_by_themselves_are_not_helped(tmp_path: Path, s3: S3, wheels: Path) -> None:
    path, _ = venv(tmp_path)
    files = {"train.py": "print('as it is')\n", "requirements.txt": "no-such-package\n"}
    lines = [*before(path), "echo requirements.txt is for others"]
    agent, _ = trained(tmp_path, s3, files, ["python", "train.py"], offline(wheels, tmp_path), setup=lines)
    assert "runctl: requirements.txt: left to the setup lines" in log_of(agent)
    assert "pip install" not in log_of(agent)


def test_a_workdir_that_is_its_owners_is_not_touched(tmp_path: Path, s3: S3, wheels: Path) -> None:
    path, _ = venv(tmp_path)
    agent = machine(tmp_path, s3, "one", ["python", "-c", "print('as it is')"], training={"setup": before(path)})
    (agent.workdir / "requirements.txt").write_text("no-such-package\n")
    with agent.running() as process:
        agent.wait_for(lambda status: status["phase"] == "finished", process)
    assert "requirements" not in log_of(agent)


def test_an_externally_managed_interpreter_gets_an_environment_beside_it(tmp_path: Path, s3: S3, wheels: Path) -> None:
    path, site = venv(tmp_path, managed=True)
    files = {"train.py": TRAIN, "requirements.txt": "tinydep\n"}
    agent, _ = trained(tmp_path, s3, files, ["python", "train.py"], offline(wheels, tmp_path), setup=before(path))
    assert log_of(agent).splitlines()[-1] == f"with 1.0 of {agent.workdir}/.venv"
    assert "externally managed (PEP 668)" in log_of(agent)
    assert sorted(os.listdir(site)) == ["EXTERNALLY-MANAGED", "__pycache__", "sitecustomize.py"] or sorted(os.listdir(site)) == [
        "EXTERNALLY-MANAGED",
        "sitecustomize.py",
    ]


def test_a_lock_makes_the_environment_that_the_command_runs_in(tmp_path: Path, s3: S3, wheels: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text(PROJECT)
    env = offline(wheels, tmp_path)
    subprocess.run([UV, "lock"], cwd=project, env={**os.environ, **env}, check=True, capture_output=True)
    files = {"train.py": TRAIN, "pyproject.toml": PROJECT, "uv.lock": (project / "uv.lock").read_text()}
    agent, _ = trained(tmp_path, s3, files, ["python", "train.py"], env, setup=before(UV.parent))
    assert "runctl: uv.lock is installed: uv sync --frozen\n" in log_of(agent)
    assert log_of(agent).splitlines()[-1] == f"with 1.0 of {agent.workdir}/.venv"
    assert (agent.workdir / "uv.lock").read_text() == files["uv.lock"]


def test_a_script_with_metadata_is_run_by_uv(tmp_path: Path, s3: S3, wheels: Path) -> None:
    command = ["python", "-u", "train.py", "--x"]
    files = {"train.py": HEADER + TRAIN + "print(sys.argv[1:])\nraise SystemExit(7)\n"}
    env = offline(wheels, tmp_path)
    agent, status = trained(tmp_path, s3, files, command, env, phase="failed", setup=before(UV.parent))
    assert status["exit_code"] == 7, "the script's own"
    *_, used, argv = log_of(agent).splitlines()
    assert used.startswith("with 1.0 of ")
    assert argv == "['--x']"
    assert not (agent.workdir / ".venv").exists()


def test_without_uv_such_a_script_runs_as_it_is_and_that_is_said(tmp_path: Path, s3: S3, wheels: Path) -> None:
    path, _ = venv(tmp_path)
    lines = [f"export PATH={path}:/usr/bin:/bin"]
    agent, _ = trained(tmp_path, s3, {"train.py": HEADER + "print('ran')\n"}, ["python", "train.py"], {}, setup=lines)
    assert "this machine has no uv: it is run as it is" in log_of(agent)
    assert log_of(agent).splitlines()[-1] == "ran"


def test_a_lock_without_uv_is_no_training_of_other_versions(tmp_path: Path, s3: S3, wheels: Path) -> None:
    path, _ = venv(tmp_path)
    lines = [f"export PATH={path}:/usr/bin:/bin"]
    files = {"train.py": "open('ran', 'w')\n", "pyproject.toml": PROJECT, "uv.lock": "version = 1\n"}
    agent, status = trained(tmp_path, s3, files, ["python", "train.py"], {}, phase="failed", setup=lines)
    assert any("uv.lock can't be installed: this machine has no uv" in line for line in status["details"])
    assert not (agent.workdir / "ran").exists()
