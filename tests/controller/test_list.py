"""`runctl list`, `status`, `checkpoints` and `pull`, by the real commands."""

from __future__ import annotations

import os
import pty
import zlib
from typing import Any

import pytest
from blake3 import blake3

from runctl_agent.contract.keys import Keys
from runctl_agent.contract.manifest import Manifest, ManifestFile, Rank, encode_manifest
from runctl_agent.contract.phases import Condition, ConditionName, Phase
from tests.controller.stage import Stage, read_terminal

COLUMNS = ["CHECKPOINT", "STEP", "SIZE", "SENT", "SAVED", "COMPLETE", "VERIFIED", "AGE", "EPOCH-SEQ", "WHERE"]


def rows(stage: Stage, *options: str) -> list[dict[str, Any]]:
    return [row for row in stage.json("list", *options)["runs"] if row["run"].startswith(stage.run)]


def test_the_newest_instance_of_each_run(stage: Stage) -> None:
    first = stage.launch()
    stage.ec2.terminate_instances(InstanceIds=[first])
    second = stage.json("resume", stage.run)["instance"]
    stage.posts(stage.state(second, Phase.TRAINING, step=8))
    (row,) = rows(stage)
    assert (row["instance"]["id"], row["state"]["step"], row["source"]) == (second, 8, "tags")
    assert {row["instance"]["id"] for row in rows(stage, "--all")} == {first, second}
    table = stage.command("list").stdout
    (line,) = (line for line in table.splitlines() if stage.run in line)
    assert line.split()[:3] == [stage.run, "training", "8"]


def test_what_has_ended_is_known_from_s3(stage: Stage) -> None:
    here = stage.launch(run=f"{stage.run}-here")
    stage.writes_status(stage.state(here, Phase.FINISHED, step=9))
    (row, gone) = rows(stage)
    assert (row["run"], gone["run"]) == (f"{stage.run}-here", stage.run)
    assert (gone["instance"], gone["state"]["phase"], gone["source"]) == (None, "finished", "status.json")
    assert "code" not in {one["run"] for one in stage.json("list")["runs"]}
    assert [row["run"] for row in rows(stage, "--destination", "")] == [f"{stage.run}-here"]
    assert "gone" in stage.command("list").stdout


def test_one_damaged_status_does_not_hide_the_rest(stage: Stage) -> None:
    with stage.s3.store() as store:
        store.put(f"{stage.s3.prefix}/{stage.run}/status.json", b"garbage")
    done = stage.command("list", "--json")
    assert "status.json can't be read" in done.stderr
    assert stage.run in done.stdout


def test_status_in_full(stage: Stage) -> None:
    instance = stage.launch()
    stuck = Condition(ConditionName.SYNC_STUCK, 1_800_000_000, "nothing sent\x1b[31m for 6 min")
    stage.posts(
        stage.state(
            instance,
            Phase.TRAINING,
            step=4,
            committed_at=1_800_000_000,
            pending_bytes=2048,
            sending="a\x1b[31m.pt",
            sending_bytes=4096,
            sent_bytes=2048,
            failures=2,
            conditions=(stuck,),
            error="put refused",
            attempt=2,
            epoch=3,
        )
    )
    text = stage.command("status", stage.run[:-1]).stdout
    assert text.startswith(f"{stage.run}: training\n  step 4 safe ")
    assert "2.0 KiB behind" in text
    assert "sending a\\x1b[31m.pt: 2.0 KiB of 4.0 KiB sent" in text
    assert "failed 2 times in a row" in text
    assert "SyncStuck: nothing sent\\x1b[31m for 6 min" in text
    assert "last error: put refused" in text
    assert "attempt 2, epoch 3" in text
    assert f"instance {instance}: running, g5.xlarge" in text
    assert stage.json("status", instance)["state"]["attempt"] == 2


def commit(stage: Stage, name: str, step: int, content: bytes, *, seq: int, complete: bool = True, data: bool = True) -> None:
    keys = Keys(stage.s3.prefix, stage.run)
    key = keys.data(1, seq, name, "model.safetensors")
    file = ManifestFile(
        "model.safetensors",
        len(content),
        1_700_000_000_000_000_000,
        f"blake3:{blake3(content).hexdigest()}",
        zlib.crc32(content),
        keys.relative(key),
    )
    rank = Rank(True, 1, step, seq)
    manifest = Manifest(
        stage.run, 1, seq, name, step, rank, "huggingface", complete, 1_800_000_000.0, "i-1", (file,), nonce=f"1.{seq}"
    )
    with stage.s3.store() as store:
        if data:
            store.put(key, content)
        store.put(keys.manifest(1, seq, name), encode_manifest(manifest))


def test_checkpoints_newest_first(stage: Stage) -> None:
    commit(stage, "checkpoint-10", 10, b"ten", seq=1)
    commit(stage, "checkpoint-20", 20, b"twenty", seq=2)
    commit(stage, "checkpoint-30", 30, b"thirt", seq=3, complete=False)
    with stage.s3.store() as store:
        store.put(f"{stage.s3.prefix}/{stage.run}/manifests/000001-00000009-x.json", b"{")
    shown = stage.json("checkpoints", stage.run)
    assert [(one["checkpoint"], one["complete"]) for one in shown["checkpoints"]] == [
        ("checkpoint-30", False),
        ("checkpoint-20", True),
        ("checkpoint-10", True),
    ]
    assert shown["checkpoints"][1]["where"] == f"{stage.s3.destination}/{stage.run}/data/000001-00000002/"
    assert len(shown["unreadable"]) == 1
    done = stage.command("checkpoints", stage.run)
    assert done.stdout.splitlines()[0].split() == COLUMNS
    assert "can't be read" in done.stderr


def test_checkpoints_are_looked_at_again(stage: Stage) -> None:
    commit(stage, "checkpoint-10", 10, b"ten", seq=1)
    commit(stage, "checkpoint-20", 20, b"twenty", seq=2, data=False)
    missing, there = stage.json("checkpoints", stage.run, "--verify")["checkpoints"]
    assert (there["verified"], there["missing"]) == ("now", [])
    assert (missing["verified"], missing["missing"]) == ("1 missing", ["data/000001-00000002/checkpoint-20/model.safetensors"])
    done = stage.command("checkpoints", stage.run, "--verify")
    assert "checkpoint-20 of epoch 1: S3 has not, or not so: data/" in done.stderr
    assert {one["verified"] for one in stage.json("checkpoints", stage.run)["checkpoints"]} == {"at commit"}


def test_a_run_with_no_checkpoints(stage: Stage) -> None:
    stage.launch()
    assert stage.command("checkpoints", stage.run).stdout == f"{stage.run} has no checkpoints yet\n"
    assert stage.json("checkpoints", stage.run)["checkpoints"] == []
    assert "nothing was committed yet" in stage.refused("pull", stage.run, code=5)["why"]


def test_pull_the_newest_that_verifies(stage: Stage) -> None:
    commit(stage, "checkpoint-10", 10, b"ten", seq=1)
    commit(stage, "checkpoint-20", 20, b"twenty", seq=2)
    commit(stage, "checkpoint-30", 30, b"lost", seq=3, data=False)
    done = stage.command("pull", stage.run)
    assert "passed by checkpoint-30" in done.stderr
    assert done.stdout.startswith("pulled checkpoint-20 (step 20, 6 B, verified) to ")
    assert (stage.folder / stage.run / "checkpoint-20" / "model.safetensors").read_bytes() == b"twenty"
    told = stage.json("pull", stage.run, "elsewhere", "--checkpoint", "checkpoint-10")
    assert told["path"] == str(stage.folder / "elsewhere" / "checkpoint-10")
    absolute = stage.folder / "anywhere"
    assert stage.command("pull", stage.run, str(absolute)).stdout.endswith(f" to {absolute}/checkpoint-20\n")
    error = stage.refused("pull", stage.run, "--checkpoint", "checkpoint-11", code=5)
    assert "checkpoint-10" in error["mend"]


def test_pull_shows_on_a_terminal_how_far_it_is(stage: Stage) -> None:
    commit(stage, "checkpoint-10", 10, b"ten", seq=1)
    terminal, its_end = pty.openpty()
    with os.fdopen(terminal, "rb", buffering=0) as screen:
        process = stage.start("pull", stage.run, env={"TERM": "xterm"}, stderr=its_end)
        os.close(its_end)
        drawn = b"".join(iter(lambda: read_terminal(screen), b"")).decode()
        out, _ = process.communicate()
    assert process.returncode == 0
    assert "100%" in drawn
    assert "3/3 bytes" in drawn
    assert out.startswith("pulled checkpoint-10 ")


def test_pull_overwrites_nothing(stage: Stage) -> None:
    commit(stage, "checkpoint-10", 10, b"ten", seq=1)
    target = stage.folder / stage.run / "checkpoint-10"
    target.mkdir(parents=True)
    (target / "mine").write_text("x")
    error = stage.refused("pull", stage.run, code=6)
    assert f"runctl pull {stage.run}" in error["mend"]
    assert [path.name for path in target.iterdir()] == ["mine"]


@pytest.mark.parametrize("command", ["list", "status", "checkpoints"])
def test_help_of_each(stage: Stage, command: str) -> None:
    assert "--json" in stage.command(command, "--help").stdout
