"""Every shell script of the repository, as shellcheck sees it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = [path for path in ROOT.iterdir() if path.is_dir() and path.name not in (".git", ".venv")]
SCRIPTS = sorted({ROOT / ".ci" / "run", *(path for folder in FOLDERS for path in folder.rglob("*.sh"))})


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([shellcheck, "-x", script.name], cwd=script.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
