"""docs/first-run.md as a newcomer follows it: every command, in order and as it stands, on a simulated EC2 with a real S3."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runctl_simulator.cloud import Cloud
from tests.controller.stage import read_terminal
from tests.readme import FENCE, ROOT

GUIDE = (ROOT / "docs" / "first-run.md").read_text()
SESSIONS = "\n".join(body for kind, body in FENCE.findall(GUIDE) if kind == "console")
COMMANDS = re.findall(r"^\$ ((?:.*\\\n)*.*)$", SESSIONS, re.MULTILINE)
NOT_HERE = {
    "python3 -m venv .venv && .venv/bin/pip install .": "it is what runs this test; tests/test_readme.py builds the wheel",
    'export PATH="$PWD/.venv/bin:$PATH" AWS_REGION=us-east-1': "the walk's environment",
}
A_NEW_ACCOUNT = (
    "aws iam remove-role-from-instance-profile --instance-profile-name runctl-agent --role-name runctl-agent",
    "aws iam delete-instance-profile --instance-profile-name runctl-agent",
    "aws iam delete-role --role-name runctl-agent",
)
"""The simulated one has the role already."""
PATIENCE = 120

SCRIPT = """
import argparse, os, pathlib, pickle, time, zipfile

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int)
epochs = parser.parse_args().epochs
folder = pathlib.Path("checkpoints")
folder.mkdir(exist_ok=True)
for epoch in range(1, epochs + 1):
    time.sleep(0.5)
    with zipfile.ZipFile(folder / f"epoch={epoch}.tmp", "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps({"epoch": epoch}))
    os.replace(folder / f"epoch={epoch}.tmp", folder / f"epoch={epoch}.pt")
    print(f"epoch {epoch}/{epochs}: loss {1 / epoch:.3f}", flush=True)
"""


class Walk:
    """A shell in the folder of somebody's script, and AWS as it answers there."""

    def __init__(self, folder: Path, cloud: Cloud) -> None:
        self.folder = folder
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RUNCTL_"))}
        self.env = {**own, **cloud.env, "PATH": path, "HOME": str(folder), "AWS_PAGER": ""}

    def types(self, command: str) -> str:
        """What it prints, on a terminal if it needs one."""
        if name := re.fullmatch(r"export (RUNCTL_\w+)=(\S+)", command):
            self.env[name[1]] = name[2]
            return ""
        if command == "runctl watch":
            return self._watched(command)
        done = subprocess.run(
            ["bash", "-c", command],
            env=self.env,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, f"$ {command}\n{done.stdout}"
        assert "Traceback" not in done.stdout
        return done.stdout

    def _watched(self, command: str) -> str:
        """Looked at until the run is on it, and left with q."""
        ours, theirs = pty.openpty()
        env = {**self.env, "TERM": "xterm", "COLUMNS": "200", "LINES": "24"}
        seen = b""
        with (
            os.fdopen(ours, "r+b", buffering=0) as screen,
            subprocess.Popen(
                ["bash", "-c", command], env=env, cwd=self.folder, stdin=theirs, stdout=theirs, stderr=theirs
            ) as process,
        ):
            os.close(theirs)
            while b"train-" not in seen:
                seen += (more := read_terminal(screen))
                assert more, seen
            screen.write(b"q")
            while more := read_terminal(screen):
                seen += more
            assert process.wait(PATIENCE) == 0
        return seen.decode()


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    with Cloud(tmp_path / "cloud") as found:
        yield found


def test_the_guide_alone_leads_to_a_checkpoint(cloud: Cloud, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text(SCRIPT)
    walk = Walk(folder, cloud)
    for command in A_NEW_ACCOUNT:
        walk.types(command)
    said = {command: walk.types(command) for command in COMMANDS if command not in NOT_HERE}
    assert "nothing was spent, uploaded or written" in said["runctl launch train.py --dry-run -- --epochs 3"]
    assert "missing" not in said["runctl doctor"]
    launched = re.findall(r"launched (i-[0-9a-f]{17})", said["runctl launch train.py -- --epochs 3"])
    assert len(launched) == 1
    assert launched[0] in said["runctl watch"]
    assert said["runctl logs train -f"].splitlines() == [f"epoch {one}/3: loss {1 / one:.3f}" for one in (1, 2, 3)]
    _, *rows = said["runctl checkpoints train"].splitlines()
    assert [row.split()[0] for row in rows] == ["epoch=3.pt", "epoch=2.pt", "epoch=1.pt"]
    assert os.listdir(folder / "model") == ["epoch=3.pt"]
    assert f"{launched[0]} is terminated" in said["runctl terminate train"]
    (only,) = json.loads(walk.types("runctl list --json"))["runs"]
    assert (only["instance"]["id"], only["instance"]["state"]) == (launched[0], "terminated")


def test_what_is_not_walked_is_in_the_guide() -> None:
    assert set(NOT_HERE) <= set(COMMANDS)
    assert len(set(COMMANDS)) == len(COMMANDS)
