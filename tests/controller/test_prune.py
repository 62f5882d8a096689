"""`runctl prune`: by the agent while it lives, else here, in an epoch of its own; and what it refuses."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import time
from dataclasses import replace

import pytest

from runctl import documents
from runctl_agent.contract.keys import Keys, snapshot
from runctl_agent.contract.manifest import Manifest
from runctl_agent.contract.phases import Phase
from runctl_agent.contract.tags import Verb
from runctl_agent.runtime import ThreadRuntime
from runctl_agent.store.commit import Committer
from runctl_agent.store.s3 import S3Store
from tests.controller.stage import RUNCTL, Stage, acknowledged, ended
from tests.fakes.manifests import manifest_of

BODY = b"weights " * 100


class Written:
    """A run launched with a retention, and an agent's part in S3."""

    def __init__(self, stage: Stage, retention: str = "{keep_last: 2}") -> None:
        self.stage = stage
        (stage.folder / "spec.yaml").write_text(f"retention: {retention}\n" if retention else "{}\n")
        self.instance = stage.launch("--config", "spec.yaml")
        self.keys = Keys(stage.s3.prefix, stage.run)
        self.manifests: list[Manifest] = []

    def commits(self, steps: int, *, shares: bool = False) -> None:
        """`shares`: each names a file of the first."""
        with self.stage.s3.store() as store:
            committer = Committer(store, self.keys, ThreadRuntime(), self.stage.run, self.instance)
            epoch = committer.take_epoch("boot").epoch
            committer.seal(epoch)
            for step in range(1, steps + 1):
                committer.commit(self._sent(store, epoch, step, shares=shares))

    def _sent(self, store: S3Store, epoch: int, step: int, *, shares: bool) -> Manifest:
        manifest = replace(manifest_of(f"checkpoint-{step}", step, {"a": BODY}, epoch=epoch, seq=step), run=self.stage.run)
        for file in manifest.files:
            key = self.keys.data(epoch, step, manifest.checkpoint, file.path)
            store.put(key, BODY)
            manifest = replace(manifest, files=(replace(file, object=self.keys.relative(key)),))
        if shares and self.manifests:
            manifest = replace(manifest, files=(*manifest.files, replace(self.manifests[0].files[0], path="shared")))
        self.manifests.append(manifest)
        return manifest

    def ends(self) -> None:
        self.stage.ec2.terminate_instances(InstanceIds=[self.instance])

    def stored(self, kind: str) -> list[str]:
        base = f"{self.stage.run}/{kind}/"
        return [key.removeprefix(base).split("/")[0] for key in self.stage.objects() if key.startswith(base)]

    def steps(self) -> list[int]:
        return [one["step"] for one in self.stage.json("checkpoints", self.stage.run)["checkpoints"]]


@pytest.fixture
def written(stage: Stage) -> Written:
    written = Written(stage)
    written.commits(5, shares=True)
    return written


def test_an_ended_run_is_pruned_from_here(stage: Stage, written: Written) -> None:
    written.ends()
    pruned = stage.json("prune", stage.run, "--yes")
    assert pruned.keys() == documents.Pruned.__annotations__.keys()
    assert pruned["kept"][0].keys() == documents.KeptData.__annotations__.keys()
    assert [one["step"] for one in pruned["checkpoints"]] == [3, 2, 1]
    assert (pruned["run"], pruned["deleted"], pruned["objects"], pruned["bytes"]) == (stage.run, True, 2, 2 * len(BODY))
    assert pruned["kept"] == [{"data": snapshot(1, 1), "bytes": len(BODY), "named_by": "checkpoint-5"}]
    assert written.steps() == [5, 4]
    assert written.stored("data") == [snapshot(1, 1), snapshot(1, 4), snapshot(1, 5)]
    assert (stage.document("epoch.json")["epoch"], stage.document("epoch.json")["instance"]) == (2, "runctl")
    assert stage.document("latest.json")["checkpoint"] == "checkpoint-5"
    assert stage.json("pull", stage.run)["checkpoint"] == "checkpoint-5"

    again = stage.command("prune", stage.run)
    assert again.stdout.startswith(f"{stage.run}: nothing to delete\n")
    assert stage.document("epoch.json")["epoch"] == 2


def test_people_read_what_went_and_what_stays(stage: Stage, written: Written) -> None:
    written.ends()
    done = stage.command("prune", stage.run, "--yes")
    assert done.stdout.splitlines() == [
        f"{stage.run}: 3 checkpoints deleted, 2 objects of data, 1.6 KiB freed",
        "  checkpoint-3, step 3, 1.6 KiB",
        "  checkpoint-2, step 2, 1.6 KiB",
        "  checkpoint-1, step 1, 800 B",
        "  800 B of 000001-00000001 stays: checkpoint-5 names it",
    ]
    assert f"took epoch 2 of {stage.run}" in done.stderr


def test_a_dry_run_shows_it_and_writes_nothing(stage: Stage, written: Written) -> None:
    written.ends()
    before = stage.objects()
    planned = stage.json("prune", stage.run, "--dry-run")
    assert planned.keys() == documents.Pruned.__annotations__.keys()
    assert (planned["deleted"], planned["bytes"], len(planned["checkpoints"])) == (False, 2 * len(BODY), 3)
    assert "3 checkpoints would be deleted" in stage.command("prune", stage.run, "--dry-run").stdout
    assert stage.objects() == before
    assert stage.document("epoch.json")["epoch"] == 1


def test_nobody_at_a_terminal_must_say_yes(stage: Stage, written: Written) -> None:
    written.ends()
    before = stage.objects()
    error = stage.refused("prune", stage.run, code=2)
    assert "--yes" in error["mend"]
    assert stage.objects() == before


@pytest.mark.parametrize(("answer", "steps"), [("n\n", [5, 4, 3, 2, 1]), ("y\n", [5, 4])])
def test_who_is_at_a_terminal_is_asked(stage: Stage, written: Written, answer: str, steps: list[int]) -> None:
    written.ends()
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer.encode())
        done = subprocess.run(
            [RUNCTL, "prune", stage.run], env=stage.env, stdin=theirs, capture_output=True, text=True, check=False, timeout=240
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 0, done.stderr
    assert "3 checkpoints would be deleted" in done.stderr
    assert ("3 checkpoints deleted" in done.stdout) == (answer == "y\n")
    assert written.steps() == steps


def test_a_living_run_is_asked(stage: Stage, written: Written) -> None:
    training = stage.state(written.instance, Phase.TRAINING)
    stage.posts(training)
    with stage.start("prune", stage.run, "--yes", "--json") as process:
        want = stage.wanted(written.instance)
        assert want.verb is Verb.PRUNE
        stage.posts(acknowledged(training, want, Phase.TRAINING), "b")
        pruned = json.loads(ended(process).stdout)
    assert (pruned["deleted"], len(pruned["checkpoints"])) == (True, 3)
    assert stage.document("epoch.json")["epoch"] == 1
    assert len(written.steps()) == 5, "it is the agent that deletes"


def test_an_agent_that_does_not_answer(stage: Stage, written: Written) -> None:
    stage.posts(stage.state(written.instance, Phase.TRAINING))
    error = stage.refused("prune", stage.run, "--yes", "--timeout", "1s", code=7)
    assert "did not acknowledge the prune" in error["what"]
    assert f"runctl status {stage.run}" in error["mend"]
    assert stage.document("epoch.json")["epoch"] == 1


def test_without_retention_it_is_refused(stage: Stage) -> None:
    written = Written(stage, "")
    written.commits(3)
    written.ends()
    before = stage.objects()
    for option in ("--yes", "--dry-run"):
        error = stage.refused("prune", stage.run, option, code=3)
        assert "has no retention" in error["why"]
        assert "retention: {keep_last: 3}" in error["mend"]
    assert stage.objects() == before


def test_a_run_whose_agent_lives_elsewhere_is_left_to_it(stage: Stage, written: Written) -> None:
    written.ends()
    alive = stage.state(written.instance, Phase.TRAINING, heartbeat=int(time.time()))
    stage.writes_status(alive)
    nowhere = {"AWS_REGION": "eu-west-3"}
    error = stage.refused("prune", stage.run, "--yes", code=6, env=nowhere)
    assert "EC2 does not show its newest instance here" in error["why"]
    stage.writes_status(replace(alive, heartbeat=int(time.time()) - 1000))
    assert stage.json("prune", stage.run, "--yes", env=nowhere)["deleted"]


def test_nor_is_it_taken_from_one_elsewhere_because_an_earlier_instance_of_the_run_is_still_shown_here(
    stage: Stage, written: Written
) -> None:
    written.ends()
    alive = replace(stage.state(written.instance, Phase.TRAINING, heartbeat=int(time.time())), instance="i-0123456789abcdef0")
    stage.writes_status(alive)
    error = stage.refused("prune", stage.run, "--yes", code=6)
    assert "EC2 does not show its newest instance here" in error["why"]
    assert (stage.document("epoch.json")["epoch"], written.steps()) == (1, [5, 4, 3, 2, 1])
    stage.writes_status(replace(alive, instance=written.instance))
    assert stage.json("prune", stage.run, "--yes")["deleted"], "of the one that has ended it was heard lately, and no more"


def test_a_run_that_came_back_while_somebody_thought_about_it_is_left_to_its_agent(stage: Stage, written: Written) -> None:
    stage.ec2.stop_instances(InstanceIds=[written.instance])
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            [RUNCTL, "prune", stage.run], env=stage.env, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            assert any("3 checkpoints would be deleted" in line for line in iter(process.stderr.readline, ""))
            stage.ec2.start_instances(InstanceIds=[written.instance])
            training = stage.state(written.instance, Phase.TRAINING)
            os.write(ours, b"y\n")
            want = stage.wanted(written.instance)
            assert (want.verb, stage.document("epoch.json")["epoch"]) == (Verb.PRUNE, 1)
            stage.posts(acknowledged(training, want, Phase.TRAINING))
            assert "3 checkpoints deleted" in ended(process).stdout
    finally:
        os.close(ours)
        os.close(theirs)
    assert stage.document("epoch.json")["epoch"] == 1, "its agent was not fenced off"


def test_a_stopped_instance_does_not_stand_in_the_way(stage: Stage, written: Written) -> None:
    stage.ec2.stop_instances(InstanceIds=[written.instance])
    assert stage.json("prune", written.instance, "--yes")["deleted"]
    assert written.steps() == [5, 4]


def test_where_it_is_not_known_what_may_go_nothing_goes(stage: Stage, written: Written) -> None:
    written.ends()
    with stage.s3.store() as store:
        store.put(written.keys.gc, b"{")
    before = stage.objects()
    error = stage.refused("prune", stage.run, "--yes", code=6)
    assert f"nothing is deleted of {stage.run}" in error["what"]
    assert "gc.json can't be read" in error["why"]
    assert stage.objects() == before
