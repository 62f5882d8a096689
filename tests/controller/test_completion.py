"""Completion in a shell: commands and options, without a call to AWS."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.controller.stage import RUNCTL


def completed(*words: str) -> list[str]:
    """What bash is offered for the last of them, as its own completion function asks."""
    env = {"PATH": os.environ["PATH"], "_RUNCTL_COMPLETE": "complete_bash", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    env |= {"COMP_WORDS": " ".join(("runctl", *words)), "COMP_CWORD": str(len(words))}
    done = subprocess.run([RUNCTL], env=env, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.split()


def test_commands_and_options() -> None:
    assert completed("st") == ["status", "stop", "start"]
    assert completed("docker", "b") == ["build"]
    assert completed("launch", "--on") == ["--on-demand", "--on-finish"]
    assert completed("status", "x") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_the_shell(shell: str) -> None:
    done = subprocess.run([RUNCTL, "--show-completion", shell], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "_RUNCTL_COMPLETE" in done.stdout
