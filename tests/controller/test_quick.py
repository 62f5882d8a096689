"""`runctl --help` is quick because it loads nothing: the libraries of a command are imported by that command."""

from __future__ import annotations

import subprocess
import sys

import pytest

from runctl.app import json_wanted
from tests.controller.stage import RUNCTL

HEAVY = ("boto3", "botocore", "rich", "yaml", "blake3", "msgspec", "psutil")


@pytest.mark.parametrize("arguments", [["--help"], ["launch", "--help"], ["--version"]])
def test_help_loads_no_library(arguments: list[str]) -> None:
    probe = (
        "import sys, runctl.cli\n"
        f"sys.argv = ['runctl', *{arguments!r}]\n"
        "try:\n    runctl.cli.main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_every_command_of_the_design_is_there() -> None:
    shown = subprocess.run([RUNCTL, "--help"], capture_output=True, text=True, check=True).stdout
    for command in ("launch", "list", "status", "wait", "checkpoints", "pull", "stop", "start", "resume", "terminate", "flush"):
        assert f"\n  {command} " in shown


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["list", "--json"], True),
        (["launch", "x", "--", "--json"], False),
        (["launch", "--json", "x", "--", "y"], True),
        ([], False),
    ],
)
def test_whose_json_it_is(arguments: list[str], *, wanted: bool) -> None:
    assert json_wanted(arguments) == wanted
