"""The one disk is full: the training goes on, the agent too and says so, and both are as before once there is room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.controller.stage import Stage
from tests.e2e.seaweed import S3
from tests.machine.image import Image
from tests.machine.instance import AGENT, Instance, instance, tell
from tests.systemd.nspawn import Machine

FILLER = "/var/tmp/filler"


@pytest.fixture
def small(tmp_path: Path, baked: Image, s3: S3, stage: Stage) -> Iterator[Instance]:
    with instance(tmp_path, baked, s3, stage, size="128m") as made:
        yield made


def fill(machine: Machine) -> None:
    machine.run("sh", "-c", f"cat /dev/zero > {FILLER}", check=False)


def conditions(small: Instance) -> list[str]:
    return [one["name"] for one in small.state().get("conditions", ())]


def test_it_is_full(small: Instance) -> None:
    with small.booted() as machine:
        small.until_committed(1)
        trainer, agent = small.trainer(), small.agent()
        small.write_down("1000000")
        fill(machine)
        small.ask_as_written("save")
        assert not (small.workdir / "checkpoints" / "model_step_2.pt").exists(), "the training had no room"
        small.until(lambda: "DiskFull" in conditions(small))
        assert (small.trainer(), small.agent()) == (trainer, agent)
        assert small.state()["phase"] == "training"
        said = small.state()["conditions"][0]["message"]
        machine.run("rm", FILLER)
        began = small.clock(machine)
        small.save(2, 1_000_000)
        small.until_committed(1, 2)
        tell("disk full", said=said, safe_after_there_was_room=small.clock(machine) - began)
        small.until(lambda: conditions(small) == [])
        assert (small.trainer(), small.agent()) == (trainer, agent)
        assert machine.show(AGENT, "NRestarts")["NRestarts"] == "0"
        assert small.left() == []


def test_what_stands_when_it_fills_up_is_sent_while_it_is_full(small: Instance) -> None:
    with small.booted() as machine:
        small.until_committed(1)
        small.wire.cut()
        small.save(2)
        small.until(lambda: small.status()["pending_checkpoints"] == 1)
        fill(machine)
        small.wire.heal()
        began = small.clock(machine)
        small.until(lambda: small.names() == ["model_step_1.pt", "model_step_2.pt"])
        tell("disk full, with a checkpoint pending", safe_after_S3_came_back=small.clock(machine) - began)
        assert machine.run("sh", "-c", "echo x > /var/tmp/other", check=False) == ""
        assert not (small.root / "var/tmp/other").read_bytes(), "it is full all the while"
        machine.run("rm", FILLER)
        small.save(3)
        small.until_committed(1, 2, 3)
        assert machine.show(AGENT, "NRestarts")["NRestarts"] == "0"
        assert small.left() == []


def test_the_agent_is_killed_while_it_is_full(small: Instance) -> None:
    """The next one comes up all the same, and sends what is pending."""
    with small.booted() as machine:
        small.until_committed(1)
        trainer = small.trainer()
        small.wire.cut()
        small.save(2)
        small.until(lambda: small.status()["pending_checkpoints"] == 1)
        fill(machine)
        before = small.agent()
        machine.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", AGENT)
        small.wire.heal()
        seconds = small.restarted(before)
        began = small.clock(machine)
        small.until(lambda: small.names() == ["model_step_1.pt", "model_step_2.pt"])
        tell("disk full, and the agent killed", READY_again_after=seconds, safe_after=small.clock(machine) - began)
        assert small.trainer() == trainer
        assert machine.show(AGENT, "NRestarts")["NRestarts"] == "1"
        machine.run("rm", FILLER)
        small.save(3)
        small.until_committed(1, 2, 3)
        assert {one.epoch for one in small.committed()} == {1}
        assert small.trainer() == trainer
        assert small.left() == []
