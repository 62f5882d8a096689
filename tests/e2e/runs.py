"""An operator with the real `runctl`, on the simulated EC2 whose instances run the real agent, before a real S3."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runctl.fleet import machine_of, newest
from runctl.known import known
from runctl_agent.contract.keys import Keys
from runctl_agent.contract.status import State, decode_state, plain_state
from runctl_simulator.cloud import Cloud
from tests.controller.stage import Stage
from tests.e2e.committed import committed
from tests.e2e.seaweed import S3

TRAINER = Path(__file__).with_name("tiny_training.py")
WATCHED = "checkpoints"


class Operator(Stage):
    """Runs are launched from a folder with `train.py`, by default the tiny training of these tests."""

    def __init__(self, folder: Path, s3: S3, cloud: Cloud) -> None:
        super().__init__(folder, s3, cloud.endpoint)
        self.cloud = cloud
        self.image = cloud.image_id
        self.env |= {**cloud.env, **s3.env, "AWS_EC2_METADATA_DISABLED": "true"}
        (folder / "train.py").write_text(TRAINER.read_text())
        (folder / "run.yaml").write_text("settle: 300ms\npublish: {heartbeat: 1s}\ncheckpoints: [{path: checkpoints}]\n")

    def close(self) -> None:
        for instance in self.instances():
            if instance["State"]["Name"] != "terminated":
                self.cloud.lose(instance["InstanceId"])
        super().close()

    def script(self, text: str) -> None:
        """Train by this instead."""
        (self.folder / "train.py").write_text(text)

    def train(self, *arguments: str, run: str = "", options: tuple[str, ...] = ()) -> str:
        """Launch the tiny training; the instance's id."""
        own = ("--config", "run.yaml", *options)
        return self.launch(*own, "--", "--dir", WATCHED, *arguments, run=run)

    def wait(self, run: str = "", *, code: int = 0) -> dict[str, Any]:
        return self.json("wait", run or self.run, "--every", "200ms", "--timeout", "3m", code=code)

    def status(self, run: str = "") -> dict[str, Any]:
        return self.json("status", run or self.run)

    def until(self, what: Callable[[dict[str, Any]], bool], run: str = "") -> dict[str, Any]:
        """Look until the state that `status` shows is so; the limit is a safety net and never the thing tested.

        By the controller's own reader, in this process: a command takes a second of CPU each time.
        """
        end = time.monotonic() + 120
        while not what(state := self._seen(run or self.run)):
            assert time.monotonic() < end, f"{state}\n{self.consoles()}"
            time.sleep(0.1)
        return state

    def _seen(self, run: str) -> dict[str, Any]:
        machine = newest(machine_of(one) for one in self.instances(run))
        with self.s3.store() as store:
            got = store.get(Keys(self.s3.prefix, run).status)
        status = decode_state(got.body) if got is not None else None
        state = known(run, self.s3.destination, machine, status if isinstance(status, State) else None).state
        return plain_state(state) if state is not None else {}

    def consoles(self) -> str:
        return "\n".join(self.cloud.console(instance["InstanceId"]) for instance in self.instances())

    def disk(self, instance_id: str, path: str = "") -> Path:
        """The run's workdir on the instance's disk, or something in it."""
        (home,) = (self.cloud.folder(instance_id) / "root" / "home").iterdir()
        return home / self.run / path

    def names(self, run: str = "") -> list[str]:
        """Every checkpoint committed, whole and with its data."""
        return sorted(manifest.checkpoint for manifest in committed(self.s3, run or self.run))

    def latest(self) -> dict[str, Any]:
        return self.document("latest.json")


def steps(*numbers: int) -> list[str]:
    return [f"model_step_{number}.pt" for number in numbers]
