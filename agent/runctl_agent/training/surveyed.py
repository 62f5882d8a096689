"""What `needs` decides by: looked up in the workdir and on PATH, as the training's user."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from runctl_agent.account import Account

from .acting import acting_as, credentials
from .needs import LOCK, REQUIREMENTS, VENV, Found, has_metadata, is_python, script_of, shebang

LARGEST = 1024 * 1024
"""Bytes of a script in which its metadata is looked for."""

LONGEST = 60.0
"""Seconds that an interpreter has to say what it is."""

# EXTERNALLY-MANAGED lies in the directory of the standard library, and binds no virtual environment (PEP 668).
PROBE = (
    "import importlib.util as u, json, os, sys, sysconfig; "
    "m = os.path.join(sysconfig.get_path('stdlib', sysconfig.get_default_scheme()), 'EXTERNALLY-MANAGED'); "
    "print(json.dumps([sys.prefix == sys.base_prefix and os.path.exists(m), u.find_spec('pip') is not None]))"
)


def surveyed(user: Account, workdir: str, env: Mapping[str, str], command: Sequence[str], *, code: bool) -> Found:
    """`code`: the workdir was made for this run; else what its owner keeps there is not looked at, but for the script."""
    path = env.get("PATH", "")
    with acting_as(user):
        files = {name for name in (LOCK, REQUIREMENTS) if code and os.path.isfile(os.path.join(workdir, name))}
        script = script_of(command)
        alone = bool(script) and has_metadata(_text(os.path.join(workdir, script), LARGEST))
        program = _program(command[0], workdir, path)
        words = () if is_python(command[0]) else shebang(_text(program, 4096).split("\n", 1)[0])
    if not files and not alone:
        return Found()
    of_script = next((word for word in words if is_python(word)), "")
    python = program if is_python(command[0]) else _which(of_script, path)
    absent = is_python(command[0]) and not python
    python = python or _which("", path)
    managed, pip = _asked(user, workdir, env, python)
    return Found(
        files=frozenset(files),
        script=script if alone else "",
        uv=shutil.which("uv", path=path) is not None,
        python=python,
        managed=managed or absent,
        pip=pip,
        fixed=bool(of_script) or (is_python(command[0]) and "/" in command[0]),
        in_venv=bool(env.get("VIRTUAL_ENV")) and env.get("VIRTUAL_ENV") != os.path.join(workdir, VENV),
    )


def _program(name: str, workdir: str, path: str) -> str:
    if "/" in name:
        there = os.path.join(workdir, name)
        return os.path.normpath(there) if os.access(there, os.X_OK) else ""
    return shutil.which(name, path=path) or ""


def _which(wanted: str, path: str) -> str:
    """An absolute name as it is."""
    names = (wanted,) if wanted else ("python", "python3")
    return next((found for name in names if (found := shutil.which(name, path=path))), "")


def _text(path: str, most: int) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(most).decode("utf-8", "replace")
    except OSError:
        return ""


def _asked(user: Account, workdir: str, env: Mapping[str, str], python: str) -> tuple[bool, bool]:
    """Whether it is externally managed, and has pip. One that can't say will say more when it is used."""
    if not python:
        return False, False
    try:
        said = subprocess.run(
            [python, "-c", PROBE],
            cwd=workdir,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=LONGEST,
            check=True,
            **credentials(user),
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return False, True
    return answered(said)


def answered(said: bytes) -> tuple[bool, bool]:
    """What it said to PROBE: managed, pip. Its own start-up may print, too, and other things than that."""
    try:
        managed, pip = json.loads(said.splitlines()[-1])
    except (ValueError, TypeError, IndexError, RecursionError):
        return False, True
    return bool(managed), bool(pip)
