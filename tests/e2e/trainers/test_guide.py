"""docs/training-script.md: each script in it saves on SIGTERM, and goes on from there on another machine."""

from __future__ import annotations

import os
import re
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.agent import Agent
from tests.e2e.committed import committed
from tests.e2e.seaweed import S3
from tests.e2e.test_command import bundle, log_of, machine

GUIDE = (Path(__file__).parents[3] / "docs" / "training-script.md").read_text()
SCRIPTS = dict(re.findall(r"^```python file=(\S+)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL))
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@dataclass(frozen=True)
class Trainer:
    script: str
    before: tuple[str, ...] = ()  # between the interpreter and the script


TRAINERS = [
    Trainer("train_torch.py"),
    Trainer("train_transformers.py"),
    Trainer("train_lightning.py"),
    Trainer("train_dcp.py", TORCHRUN),
]


def test_every_script_of_the_guide_is_tried() -> None:
    assert set(SCRIPTS) == {"locked.py", *(trainer.script for trainer in TRAINERS)}
    compile(SCRIPTS["locked.py"], "locked.py", "exec")


@pytest.mark.parametrize("trainer", TRAINERS, ids=lambda trainer: trainer.script)
def test_it_saves_on_the_signal_and_goes_on_elsewhere(trainer: Trainer, tmp_path: Path, s3: S3) -> None:
    code = bundle(s3, {trainer.script: SCRIPTS[trainer.script]})

    def agent(name: str, steps: int) -> Agent:
        command = [sys.executable, *trainer.before, trainer.script, str(steps)]
        own = {"code": code, "saves_on_signal": True, "env": {"OMP_NUM_THREADS": "1"}}
        return machine(tmp_path, s3, name, command, training=own)

    one = agent("one", 10_000_000)
    with one.running() as process:
        status = one.wait_for(lambda status: status["commits"] > 0, process)
        os.kill(status["trainer_pid"], signal.SIGTERM)
        one.wait_for(lambda status: status["phase"] == "failed", process)  # nobody asked the agent for an end
    saved = [int(step) for step in re.findall(r"saved step (\d+)", log_of(one))]
    assert max(m.step or 0 for m in committed(s3) if m.complete) == saved[-1]

    two = agent("two", saved[-1] + 20)
    with two.running() as process:
        two.wait_for(lambda status: status["phase"] == "finished", process)
    assert f"resumed at step {saved[-1]}\n" in log_of(two)
