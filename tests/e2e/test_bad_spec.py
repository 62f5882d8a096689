"""A run spec with every kind of mistake, through the real commands: one message with all of them, and nothing begun."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.e2e.agent import Agent
from tests.e2e.committed import everything
from tests.e2e.seaweed import S3

WRONG = {
    "run": "GPT 2!",
    "destination": "s3://bucket--x-s3/prefix",
    "checkpoint": [],
    "checkpoints": [{"path": ""}, {"pth": "a"}, "b", {"path": "c", "include": []}, {"path": "d"}, {"path": "./d"}],
    "settle": "soon",
    "staging": {"keep_free": "120%"},
    "retention": {"keep_last": -1},
    "compression": "lzma",
    "dedup": "yes please",
    "bandwidth": "fast",
    "training": {
        "command": "python train.py",
        "stop_signal": "SIGKILL",
        "grace": -5,
        "complete_pattern": "(",
        "pid_file": 7,
        "env": {"A": "B", "TOKEN": ["hunter2"]},
        "user": "no such user!",
    },
    "limits": "none",
    "on_finish": "stop",
    "on_failure": "terminate",
    "publish": {"heartbeat": 0},
    "heartbeat": "60s",
}
PLACES = (
    "run: ",
    "destination: ",
    "checkpoint: unknown key; the nearest is `checkpoints`",
    "checkpoints[0].path: ",
    "checkpoints[1].path: missing",
    "checkpoints[1].pth: unknown key; the nearest is `checkpoints[1].path`",
    "checkpoints[2]: ",
    "checkpoints[3].include: ",
    "checkpoints[5].path: './d' is watched already",
    "settle: ",
    "staging.keep_free: ",
    "retention.keep_last: ",
    "compression: ",
    "dedup: ",
    "bandwidth: ",
    "training.command: ",
    "training.stop_signal: ",
    "training.grace: ",
    "training.complete_pattern: ",
    "training.pid_file: ",
    "training.env.TOKEN: ",
    "training.user: ",
    "limits: ",
    "on_failure: ",
    "publish.heartbeat: ",
    "heartbeat: unknown key; the nearest is `publish.heartbeat`",
)

UNREADABLE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "there is nothing in it"),
    "not YAML": (b"run: [gpt2\ndestination: {", "not YAML"),
    "bytes": (bytes(range(256)), "not UTF-8"),
    "a list": (b"- run: gpt2", "expected a mapping"),
    "an object": (b"run: !!python/object/apply:os.system ['touch pwned']", "of the kind"),
    "aliases": (b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", "an alias"),
    "too deep": (b"[" * 1200, "nested too deeply"),
    "too large": (b"#" * (2**20 + 1), "larger than"),
}


@pytest.fixture
def agent(tmp_path: Path, s3: S3) -> Agent:
    return Agent(tmp_path, s3, checkpoints=tmp_path / "checkpoints")


def refused(agent: Agent, *commands: str) -> list[str]:
    """Side by side, since each waits ten seconds for the spec to become whole; what each says."""
    argvs = [agent.argv(command) for command in commands]
    return _refused(agent, argvs)


def _refused(agent: Agent, argvs: list[list[str]]) -> list[str]:
    begun = [subprocess.Popen(a, env=agent.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for a in argvs]
    said = []
    for process in begun:
        stdout, stderr = process.communicate(timeout=120)
        assert (process.returncode, stdout) == (3, ""), stdout + stderr
        assert "Traceback" not in stderr
        assert "\n  mend: " in stderr
        said.append(stderr)
    return said


def nothing_begun(agent: Agent, s3: S3) -> None:
    assert not agent.state_dir.exists()
    assert everything(s3) == []
    assert list(agent.workdir.iterdir()) == []


def test_every_mistake_is_in_one_message(agent: Agent, s3: S3) -> None:
    agent.config.write_text(yaml.safe_dump(WRONG, sort_keys=False))
    for message in refused(agent, "run", "flush", "doctor"):
        assert [place for place in PLACES if f": {place}" not in message] == []
        assert f"has {len(PLACES)} mistakes" in message
        assert message.count("\n  line ") == len(PLACES)
        assert "hunter2" not in message
    nothing_begun(agent, s3)


def test_what_is_no_spec_at_all(agent: Agent, s3: S3) -> None:
    argvs = []
    for number, (body, _) in enumerate(UNREADABLE.values()):
        path = agent.config.with_name(f"run-{number}.yaml")
        path.write_bytes(body)
        command = ("run", "flush")[number % 2]
        argvs.append([str(path) if word == str(agent.config) else word for word in agent.argv(command)])
    for message, (kind, (_, expected)) in zip(_refused(agent, argvs), UNREADABLE.items(), strict=True):
        assert expected in message, kind
        assert len(message) < 2000
    assert not list(Path().glob("pwned"))
    nothing_begun(agent, s3)


def test_a_pointer_that_leads_nowhere(agent: Agent, s3: S3) -> None:
    agent.config.write_text(f"spec: {s3.destination}/none/run.json\n")
    done = agent.command("flush", check=False)
    assert done.returncode == 5
    assert f"the run spec {s3.destination}/none/run.json is not there" in done.stderr
    nothing_begun(agent, s3)


@pytest.mark.parametrize(
    "put", [lambda path: None, Path.mkdir, lambda path: path.symlink_to(path)], ids=["none", "folder", "loop"]
)
def test_what_is_no_file(agent: Agent, s3: S3, put: Callable[[Path], None]) -> None:
    agent.config.unlink()
    put(agent.config)
    for message in refused(agent, "run", "flush"):
        assert f"can't read the run spec {agent.config}" in message
        assert "--config" in message
    nothing_begun(agent, s3)
