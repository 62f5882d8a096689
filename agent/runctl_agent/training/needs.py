"""What the training's code says itself that it needs: requirements.txt, uv.lock, PEP 723. Pure; `surveyed.py` looks."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from runctl_agent.errors import WrongStateError

LOCK, REQUIREMENTS = "uv.lock", "requirements.txt"

_INSTALLS = re.compile(
    r"\brequirements[\w.-]*\.(txt|in)\b|\brequirements/|uv\.lock|\buv\s+(sync|run|pip|export)\b|\bpip[\d.]*\s+install\s(.*\s)?(-r|-e|--editable|\.)|\b(poetry|pdm)\s|\bconda\s+env\b"
)
_METADATA = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
_PYTHON = re.compile(r"python[\d.]*")

VENV = ".venv"
"""Where uv puts a project's environment (docs.astral.sh/uv, "Project structure"), and what is made here where one is wanted."""

ENTER = f'export VIRTUAL_ENV="$PWD/{VENV}" PATH="$PWD/{VENV}/bin:$PATH"'


@dataclass(frozen=True, slots=True)
class Found:
    """What stands in the workdir, and what the machine has, after the setup lines and by their PATH.

    `python` is the interpreter that the command will use, empty where there is none; `managed`: it may not be installed for,
    as its EXTERNALLY-MANAGED says (PEP 668), or is not there yet; `fixed`: no PATH would give the command another one.
    """

    files: frozenset[str] = frozenset()
    script: str = ""  # the command's, where it has PEP 723's metadata
    uv: bool = False
    python: str = ""
    managed: bool = False
    pip: bool = False
    fixed: bool = False
    in_venv: bool = False  # one is active, but the one that would be made


@dataclass(frozen=True, slots=True)
class Needs:
    """`notes` are said; `steps` are further setup lines; `command` is what is run then."""

    command: tuple[str, ...]
    notes: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()


def needs(command: tuple[str, ...], lines: Sequence[str], found: Found) -> Needs:
    """What is still to be installed. The weaker say is passed over: the script's own, then uv.lock, then requirements.txt.

    Raises WrongStateError: it can't be, and the training would not be the one that was meant.
    """
    there = [name for name in (found.script, *sorted(found.files & {LOCK, REQUIREMENTS}, reverse=True)) if name]
    if not there:
        return Needs(command)
    if any(_INSTALLS.search(line) for line in lines):
        return Needs(command, (f"{_all(there)}: left to the setup lines, which install by themselves",))
    notes: tuple[str, ...] = ()
    if found.script:
        alone = _alone(command, found)
        if alone.steps:
            return alone
        notes = alone.notes
    if LOCK in found.files and (found.uv or REQUIREMENTS not in found.files):
        rest = _locked(command, found)
    elif REQUIREMENTS in found.files:
        rest = _required(command, found)
    else:
        rest = Needs(command)
    return Needs(rest.command, notes + rest.notes, rest.steps)


def _alone(command: tuple[str, ...], found: Found) -> Needs:
    """A script by `uv run`. Python's -u has a variable that does the same; its other options have none that uv would pass on."""
    says = f"{found.script} says itself what it needs (PEP 723)"
    if not found.uv:
        return Needs(command, (f"{says}, but this machine has no uv: it is run as it is",))
    at = command.index(found.script)
    options = command[1:at]
    if set(options) - {"-u"}:
        return Needs(command, (f"{says}, but `uv run` does not take {' '.join(options)}: it is run as it is",))
    script = shlex.quote(found.script)
    steps = (f"uv sync --script {script}", *(["export PYTHONUNBUFFERED=1"] if options else []))
    return Needs(("uv", "run", "--script", *command[at:]), (f"{says}: it is run by uv run",), steps)


def _locked(command: tuple[str, ...], found: Found) -> Needs:
    if not found.uv:
        raise WrongStateError(
            f"{LOCK} can't be installed",
            "this machine has no uv",
            f"let `setup` bring uv (https://docs.astral.sh/uv/getting-started/installation), or leave {LOCK} out of the code",
        )
    if found.in_venv:  # somebody's own: what else is in it stays
        line = 'UV_PROJECT_ENVIRONMENT="$VIRTUAL_ENV" uv sync --frozen --inexact'
        return Needs(command, (f"{LOCK} is installed into the environment that is active",), (line,))
    if found.fixed and not _of_venv(command[0]):
        raise _another(LOCK, "uv makes an environment of its own", command)
    return Needs(command, (f"{LOCK} is installed: uv sync --frozen",), ("uv sync --frozen", ENTER))


def _required(command: tuple[str, ...], found: Found) -> Needs:
    notes: tuple[str, ...] = (f"{LOCK} is passed over, as this machine has no uv",) if LOCK in found.files else ()
    if not found.python:
        raise WrongStateError(f"{REQUIREMENTS} can't be installed", "this machine has no python", "let `setup` bring one")
    python = shlex.quote(found.python)
    if not found.managed:
        notes += (f"{REQUIREMENTS} is installed for {found.python}",)
        with_uv = found.uv and not found.pip
        how = f"uv pip install --python {python}" if with_uv else f"{python} -m pip install"
        return Needs(command, notes, (f"{how} -r {REQUIREMENTS}",))
    if found.fixed and not _of_venv(command[0]):
        raise _another(REQUIREMENTS, f"{found.python} is externally managed (PEP 668)", command)
    notes += (f"{REQUIREMENTS} is installed into {VENV}, as {found.python} is externally managed (PEP 668)",)
    # What the image brought for its interpreter, a torch that fits the driver for one, stays in sight.
    made = f"{python} -m venv --system-site-packages {VENV}"
    return Needs(command, notes, (made, ENTER, f"{VENV}/bin/python -m pip install -r {REQUIREMENTS}"))


def _another(what: str, why: str, command: tuple[str, ...]) -> WrongStateError:
    mend = "name `python` without a path in training.command (python -m for a tool), or let `setup` install it"
    return WrongStateError(f"{what} can't be installed for {command[0]}", why, mend)


def _of_venv(program: str) -> bool:
    return os.path.normpath(program).startswith(f"{VENV}/")


def is_python(program: str) -> bool:
    """Whether that is an interpreter, by its name.

    >>> is_python("/usr/bin/python3.11"), is_python("torchrun")
    (True, False)
    """
    return _PYTHON.fullmatch(os.path.basename(program)) is not None


def script_of(command: Sequence[str]) -> str:
    """The script that an interpreter is told to run; empty: none, as with -c and -m.

    >>> script_of(["python", "-u", "train.py", "x.py"]), script_of(["python", "-m", "train"]), script_of(["torchrun", "a.py"])
    ('train.py', '', '')
    """
    if not command or not is_python(command[0]):
        return ""
    for word in command[1:]:
        if not word.startswith("-"):
            return word
        if re.fullmatch(r"-[a-zA-Z]*[cmWX]|--.*|-", word):
            return ""
    return ""


def has_metadata(text: str) -> bool:
    """Whether a script has a block of type `script`, by PEP 723's own regular expression.

    >>> has_metadata("# /// script\\n# dependencies = []\\n# ///\\n"), has_metadata("# /// script\\n")
    (True, False)
    """
    return any(match["type"] == "script" for match in _METADATA.finditer(text))


def shebang(line: str) -> tuple[str, ...]:
    """The words of an executable's first line that name its interpreter.

    >>> shebang("#!/usr/bin/env python3\\n"), shebang("x")
    (('/usr/bin/env', 'python3'), ())
    """
    return tuple(line[2:].split()) if line.startswith("#!") else ()


def _all(names: Sequence[str]) -> str:
    return " and ".join(names)
