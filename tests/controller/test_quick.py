"""`runctl --help` is quick because it loads nothing: the libraries of a command are imported by that command."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from runctl.app import json_wanted
from runctl.cli import application
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


def test_a_list_of_commands_builds_no_options() -> None:
    listed = {one.name: one.callback for one in application(frozenset()).registered_commands}
    typed = {one.name: one.callback for one in application({"stop", "x"}).registered_commands}
    every = {one.name: one.callback for one in application().registered_commands}
    assert listed.keys() == typed.keys() == every.keys()
    assert [name for name, command in typed.items() if command == every[name]] == ["stop"]
    assert [name for name, command in listed.items() if command == every[name]] == []
    assert all(command is not None and not inspect.signature(command).parameters for command in listed.values())


@pytest.mark.parametrize("arguments", [["--help"], ["docker", "--help"], ["lst"], ["docker", "bild"], []])
def test_what_is_listed_is_the_same_as_with_all_of_them(arguments: list[str]) -> None:
    probe = "import sys\nfrom runctl import app, cli\nsys.argv = ['runctl', *{}]\n{}"
    as_it_is, whole = (
        subprocess.run([sys.executable, "-c", probe.format(arguments, end)], capture_output=True, text=True, check=False)
        for end in ("cli.main()", "app.guarded(cli.application())")
    )
    assert (as_it_is.returncode, as_it_is.stdout, as_it_is.stderr) == (whole.returncode, whole.stdout, whole.stderr)
    assert as_it_is.stdout + as_it_is.stderr
