"""docs/formats.md: its scripts, which know nothing of runctl, read what the agent and the contract wrote."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from runctl_agent.contract.phases import ConditionName, Phase
from runctl_agent.contract.status import State
from runctl_agent.contract.tags import encode
from tests.e2e.seaweed import S3
from tests.e2e.test_command import machine, tiny

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "formats.md").read_text()
SCRIPTS = dict(re.findall(r"^```python file=(\S+)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL))


def test_every_field_phase_and_condition_is_explained() -> None:
    assert [field.name for field in fields(State) if f"`{field.name}`" not in GUIDE] == []
    words = set(re.findall(r"\w+", GUIDE)) & set(re.findall(r"\w+", (DOCS / "operations.md").read_text()))
    assert [phase for phase in Phase if phase not in words] == []
    assert [name for name in ConditionName if f"**{name}**" not in (DOCS / "operations.md").read_text()] == []


def test_the_state_of_the_tags() -> None:
    read: dict[str, Any] = {}
    exec(SCRIPTS["read_tags.py"], read)
    older = State("gpt2", Phase.TRAINING, "i-1", 100, 7, 200, "0.1.0", checkpoint="checkpoint-1", step=1)
    newer = replace(older, generation=8, checkpoint="checkpoint-2", step=2)
    tags = {"Name": "gpt2", **encode(older, "a", 200), **encode(newer, "b", 260)}
    assert read["state"](tags)["checkpoint"] == "checkpoint-2"
    torn = {**tags, "runctl:b.0": tags["runctl:b.0"][:-9]}
    assert read["state"](torn)["checkpoint"] == "checkpoint-1"
    moved = {key.replace(":b.", ":a."): value for key, value in tags.items() if ":b." in key}
    assert read["state"]({**tags, **moved})["generation"] == 8, "what lies in the other slot's place is not believed"
    assert read["state"]({"Name": "gpt2"}) is None


def test_the_newest_checkpoint_of_a_run(tmp_path: Path, s3: S3) -> None:
    agent = machine(tmp_path, s3, "one", tiny(tmp_path / "one", steps=3))
    with agent.running() as process:
        agent.wait_for(lambda status: status["phase"] == "finished", process)
    script = tmp_path / "read_newest.py"
    script.write_text(SCRIPTS["read_newest.py"])
    argv = [sys.executable, str(script), f"{s3.destination}/{agent.run}"]
    said = subprocess.run(argv, env={**os.environ, **s3.env}, capture_output=True, text=True, check=True).stdout
    first, *objects = said.splitlines()
    assert first == "model_step_3.pt step 3"
    (url, encoding, size), *others = (line.split() for line in objects)
    assert not others
    assert encoding == "identity"
    with s3.store() as store:
        got = store.get(url.removeprefix(f"s3://{s3.bucket}/"))
    assert got is not None
    assert got.body == (agent.workdir / "checkpoints" / "model_step_3.pt").read_bytes()
    assert len(got.body) == int(size)
