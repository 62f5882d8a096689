"""The ends of a machine: announced, in order, and without a word; and its next boot."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.controller.stage import Stage
from tests.e2e.seaweed import S3
from tests.machine.image import Image
from tests.machine.instance import AGENT, LARGE, TRAIN, Instance, instance, tell


@pytest.fixture
def spot(tmp_path: Path, baked: Image, s3: S3, stage: Stage) -> Iterator[Instance]:
    with instance(tmp_path, baked, s3, stage, "--spot") as made:
        yield made


def test_a_spot_notice(spot: Instance) -> None:
    with spot.booted() as machine:
        spot.until_committed(1)
        at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=25)
        began = time.monotonic()
        spot.imds.interrupt_spot("terminate", at)
        spot.until(lambda: spot.status()["notice"])
        seen = time.monotonic() - began
        spot.until(lambda: spot.tags().get("runctl:phase") == "interrupted")
        left = (at - datetime.now(UTC)).total_seconds()
        tell("spot notice, 25 s before", seen_after=seen, interrupted_and_safe_before_the_end=left)
        assert left > 0
        spot.until_committed(1, 2)
        state = spot.state()
        assert (state["phase"], state["exit_code"], state["notice"]) == ("interrupted", 143, "spot terminate")
        assert spot.log().count("saved") == 2, "the one of the signal is the last"
        assert spot.left() == []
        assert not machine.gone, "the power is EC2's to take"
        assert machine.run("systemctl", "is-system-running", check=False) in ("running", "degraded")


def test_poweroff_during_an_upload(launched: Instance) -> None:
    with launched.booted() as machine:
        launched.until_committed(1)
        launched.uploading(2)
        launched.save(3)
        began = time.monotonic()
        machine.run("systemctl", "poweroff", check=False)
        launched.until(lambda: launched.state().get("phase") == "interrupted" or machine.gone)
        launched.wire.fast()
        launched.until(lambda: machine.gone)
        tell("systemctl poweroff during an upload", off_after=time.monotonic() - began)
    told = launched.told()
    order = [told.index(f"{what} {unit}") for what, unit in (("Stopped", TRAIN), ("Stopping", AGENT), ("Stopped", AGENT))]
    assert order == sorted(order), told
    assert "the machine is being shut down: everything is made durable first" in told
    found = launched.committed()
    assert [one.checkpoint for one in found] == [f"model_step_{step}.pt" for step in (1, 2, 3, 4)], "with the one of SIGTERM"
    assert [one.epoch for one in found] == [1] * 4
    assert all(one.complete for one in found)
    assert launched.stage.document("latest.json")["step"] == 4
    state = launched.state()
    assert (state["phase"], state["exit_code"], state["pending_checkpoints"]) == ("interrupted", 143, 0)
    assert launched.tags()["runctl:phase"] == "interrupted"
    assert launched.uploads() == []


def test_power_lost_during_an_upload_and_booted_again(launched: Instance) -> None:
    with launched.booted():
        launched.until_committed(1)
        there = launched.uploading(2)
    assert launched.names() == ["model_step_1.pt"]
    assert launched.state()["phase"] == "training", "nobody said anything"
    launched.wire.fast()
    before = launched.wire.sent
    with launched.booted() as machine:
        launched.until(lambda: "resumed from 2" in launched.log())
        resumed = launched.clock(machine)
        launched.until_committed(1, 2, 3)
        again = launched.wire.sent - before
        tell(
            "power lost, booted again",
            training_resumed_after=resumed,
            had_sent=there >> 20,
            sent_again=again >> 20,
            of=LARGE >> 20,
        )
        assert again < LARGE
        assert launched.status()["attempt"] == 2
        assert [one.epoch for one in launched.committed()] == [1, 1, 2], "what the journal had goes under its own"
        assert launched.log().count("resumed from") == 2
        assert machine.show(AGENT, "NRestarts")["NRestarts"] == "0"
        launched.until(lambda: launched.tags().get("runctl:phase") == "training")
        assert launched.left() == []
