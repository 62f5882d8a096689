"""The environment of a training, by its own word: each variable of the design, and nothing that is the agent's."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.e2e.seaweed import S3
from tests.e2e.test_command import machine

TELL = """
import json, os
fds = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")}
told = {"env": dict(os.environ), "fds": fds, "cwd": os.getcwd(), "session": os.getsid(0) == os.getpid()}
resumed = os.environ["RUNCTL_RESUME_FROM"]
told["resumed"] = resumed and os.path.exists(resumed)
json.dump(told, open("told.json", "w"))
"""

AGENTS = {
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_CONFIG_FILE": "/dev/null",
    "CREDENTIALS_DIRECTORY": "/run/credentials/x",
    "INVOCATION_ID": "i",
    "JOURNAL_STREAM": "8:1",
    "LISTEN_FDS": "1",
    "LISTEN_PID": "1",
    "RUNCTL_BOOT_ID": "one",
    "RUNCTL_DESTINATION": "s3://elsewhere/x",
    "RUNCTL_OTHER": "x",
    "STATE_DIRECTORY": "/x",
}
NEVER = {*AGENTS, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "RUNTIME_DIRECTORY", "NOTIFY_SOCKET"}
OWN = {"RUNCTL_RUN", "RUNCTL_ATTEMPT", "RUNCTL_CHECKPOINT_DIR", "RUNCTL_RESUME_FROM", "RUNCTL_LOG_FILE", "RUNCTL_LOCK_DIR"}


def told(tmp_path: Path, s3: S3, around: dict[str, str], *, checkpoint: bool = False, **training: Any) -> dict[str, Any]:
    save = "import pathlib; pathlib.Path('checkpoints/model_step_1.json').write_text('{}')\n" if checkpoint else ""
    own = {"env": {"A": "spec"}, **training}
    agent = machine(tmp_path, s3, "one", [sys.executable, "-c", save + TELL], training=own, env=around)
    with agent.running() as process:
        agent.wait_for(lambda status: status["phase"] == "finished", process)
    found: dict[str, Any] = json.loads((agent.workdir / "told.json").read_text())
    return found


def test_it_has_its_own_and_nothing_of_the_agents(tmp_path: Path, s3: S3) -> None:
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= s3.env.keys()
    setup = ["export RUNCTL_RESUME_FROM=/no/such RUNCTL_RUN=other RUNCTL_ATTEMPT=9 FROM_SETUP=1"]
    seen = told(tmp_path, s3, {**AGENTS, "INHERITED": "1"}, setup=setup)
    env, folder = seen["env"], tmp_path / "one"
    assert {name for name in env if name.startswith("RUNCTL_")} == OWN
    assert {name: env[name] for name in OWN} == {
        "RUNCTL_RUN": "test-run",
        "RUNCTL_ATTEMPT": "1",
        "RUNCTL_CHECKPOINT_DIR": str(folder / "work" / "checkpoints"),
        "RUNCTL_RESUME_FROM": "",
        "RUNCTL_LOG_FILE": str(folder / "work" / "training.log"),
        "RUNCTL_LOCK_DIR": str(folder / "runctl" / "locks"),
    }
    assert os.path.isdir(env["RUNCTL_CHECKPOINT_DIR"])
    assert os.path.isfile(env["RUNCTL_LOG_FILE"])
    assert env.keys().isdisjoint(NEVER)
    assert not any(secret in env.values() for name, secret in s3.env.items() if name in NEVER)
    assert (env["A"], env["FROM_SETUP"], env["INHERITED"]) == ("spec", "1", "1")
    assert env["PWD"] == seen["cwd"] == str(folder / "work")
    assert seen["session"]


def test_no_descriptor_of_the_agents_comes_along(tmp_path: Path, s3: S3) -> None:
    fds = told(tmp_path, s3, {})["fds"]
    log = str(tmp_path / "one" / "work" / "training.log")
    assert (fds.pop("0"), fds.pop("1"), fds.pop("2")) == ("/dev/null", log, log)
    locks = [str(tmp_path / "one" / "runctl" / "training.lock"), str(tmp_path / "one" / "state" / "exec-test-run.lock")]
    assert sorted(fds.values()) == locks


def test_credentials_that_the_spec_gives_are_the_trainings(tmp_path: Path, s3: S3) -> None:
    given = {"AWS_ACCESS_KEY_ID": "its-own", "AWS_PROFILE": "its-own"}
    env = told(tmp_path, s3, {}, env=given)["env"]
    assert {name: env[name] for name in given} == given
    assert "AWS_SECRET_ACCESS_KEY" not in env


def test_where_nothing_is_to_be_resumed_it_is_empty_and_else_there(tmp_path: Path, s3: S3) -> None:
    first = told(tmp_path, s3, {}, checkpoint=True)
    assert first["resumed"] == "", "nothing yet, and no path"
    again = machine(tmp_path, s3, "two", [sys.executable, "-c", TELL])
    with again.running() as process:
        again.wait_for(lambda status: status["phase"] == "finished", process)
    seen: dict[str, Any] = json.loads((again.workdir / "told.json").read_text())
    assert seen["resumed"] is True
    assert seen["env"]["RUNCTL_RESUME_FROM"].startswith(str(again.workdir / "checkpoints"))
    never = machine(tmp_path, s3, "three", [sys.executable, "-c", TELL], resume="never")
    with never.running() as process:
        never.wait_for(lambda status: status["phase"] == "finished", process)
    assert json.loads((never.workdir / "told.json").read_text())["env"]["RUNCTL_RESUME_FROM"] == ""
