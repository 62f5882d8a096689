"""The S3 part of the policies of `runctl iam`, enforced by a real server: all that agent and controller do works, no more."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from runctl.policies import Scope, agent, controller
from runctl_agent.contract.keys import read_destination
from runctl_simulator.seaweed import BUCKET, OTHER_BUCKET, SeaweedFS
from tests.controller.stage import Stage
from tests.e2e.agent import Agent
from tests.e2e.committed import committed, everything, has_commits
from tests.e2e.seaweed import S3

PREFIX = "team/runs"
PART = 8 * 1024 * 1024

DENIED = [
    ("put_object", {"Key": "team/runs2/x", "Body": b""}),
    ("put_object", {"Key": "x", "Body": b""}),
    ("put_object", {"Key": f"{PREFIX}/x", "Body": b"", "Bucket": OTHER_BUCKET}),
    ("get_object", {"Key": "team/secret"}),
    ("head_object", {"Key": "team/secret"}),
    ("create_multipart_upload", {"Key": "team/x"}),
    ("copy_object", {"Key": f"{PREFIX}/x", "CopySource": f"{BUCKET}/team/secret"}),
    ("list_objects_v2", {}),
    ("list_objects_v2", {"Prefix": "team/"}),
    ("list_objects_v2", {"Prefix": "team/runs2/"}),
    ("list_objects_v2", {"Prefix": f"{PREFIX}/", "Bucket": OTHER_BUCKET}),
    ("delete_object", {"Key": "team/secret"}),
    ("delete_object", {"Key": f"{PREFIX}/llama/epoch.json"}),
    ("delete_object", {"Key": f"{PREFIX}/llama/logs/000001/training.log.000000000000"}),
    ("delete_bucket", {}),
    ("put_bucket_policy", {"Policy": "{}"}),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    scope = Scope(read_destination(f"s3://{BUCKET}/{PREFIX}"))
    policies = {
        "agent": agent(scope, retention=True),
        "careful": agent(scope, retention=False),
        "controller": controller(scope, role="runctl-agent"),
    }
    directory = tmp_path_factory.mktemp("enforced")
    with SeaweedFS(directory, policies) as running:
        yield running


@pytest.fixture
def place(server: SeaweedFS) -> Iterator[S3]:
    """As whoever may do everything."""
    found = S3(server.endpoint, PREFIX)
    with found.store() as store:
        store.put("team/secret", b"of others")
    try:
        yield found
    finally:
        found.close()


@pytest.mark.parametrize("who", ["agent", "careful", "controller"])
@pytest.mark.parametrize(("operation", "arguments"), DENIED)
def test_the_neighbours_are_refused(place: S3, who: str, operation: str, arguments: dict[str, object]) -> None:
    client = place.acting_as(who).client(attempts=1)
    with pytest.raises(ClientError) as refused:
        getattr(client, operation)(**{"Bucket": BUCKET, **arguments})
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def sharded(watched: Path, step: int, content: bytes) -> None:
    half = watched.parent / "half"
    half.mkdir()
    (half / "weights.bin").write_bytes(content)
    (half / "config.json").write_text('{"layers": 2}')
    os.rename(half, watched / f"model-{step}")


def test_an_agent_does_all_that_it_does(tmp_path: Path, place: S3) -> None:
    """Multipart, copies inside S3, references and pins, retention, logs, restore; and its own doctor finds every right."""
    watched = tmp_path / "checkpoints"
    watched.mkdir()
    own = Agent(tmp_path, place.acting_as("agent"), checkpoints=watched, run="whole", settle="300ms", retention={"keep_last": 2})
    content = random.Random(1).randbytes(2 * PART + 12_345)
    with own.running() as process:
        for step in range(1, 5):
            sharded(watched, step, content[:-5] + step.to_bytes(5))
            own.wait_for(partial(has_commits, step), process)
        own.wait_for(lambda _: not any("/whole/" in key and "/model-2/" in key for key in everything(place)), process)
        status = own.status()
    assert (status["conditions"], status["error"]) == ([], "")
    kept = committed(place, "whole")
    assert [manifest.checkpoint for manifest in kept] == ["model-4", "model-3"]
    assert any(file.copied for manifest in kept for file in manifest.files), "parts were copied inside S3"
    own.command("restore", "--to", str(tmp_path / "back"))
    assert (tmp_path / "back" / "model-4" / "weights.bin").read_bytes() == content[:-5] + (4).to_bytes(5)
    found = json.loads(own.command("doctor", "--json", check=False).stdout)
    rights = [one for one in found if one["name"].startswith("s3 ")]
    assert len(rights) == 7
    assert [one for one in rights if not one["ok"] or "not known" in one["text"]] == []


def test_without_retention_no_agent_needs_to_delete(tmp_path: Path, place: S3) -> None:
    watched = tmp_path / "checkpoints"
    watched.mkdir()
    own = Agent(tmp_path, place.acting_as("careful"), checkpoints=watched, run="careful", settle="300ms")
    sharded(watched, 1, b"weights")
    own.command("flush")
    assert [manifest.checkpoint for manifest in committed(place, "careful")] == ["model-1"]
    with pytest.raises(ClientError, match="Denied"):
        place.acting_as("careful").client(attempts=1).delete_object(Bucket=BUCKET, Key=f"{PREFIX}/careful/manifests/x")


@pytest.fixture
def stage(tmp_path: Path, place: S3, _moto: str) -> Iterator[Stage]:
    folder = tmp_path / "project"
    folder.mkdir()
    found = Stage(folder, place.acting_as("controller"), _moto)
    try:
        yield found
    finally:
        found.close()


def test_an_operator_does_all_that_they_do(tmp_path: Path, place: S3, stage: Stage) -> None:
    (stage.folder / "spec.yaml").write_text("retention: {keep_last: 1}\n")
    instance = stage.launch("--config", "spec.yaml")
    watched = tmp_path / "checkpoints"
    watched.mkdir()
    own = Agent(tmp_path, place.acting_as("careful"), checkpoints=watched, run=stage.run, settle="300ms")
    for step in (1, 2):
        sharded(watched, step, b"weights %d" % step)
        own.command("flush")
    assert stage.run in [run["run"] for run in stage.json("list")["runs"]]
    stage.json("pull", stage.run, str(tmp_path / "back"))
    assert (tmp_path / "back" / "model-2" / "weights.bin").read_bytes() == b"weights 2"
    stage.ec2.terminate_instances(InstanceIds=[instance])
    assert stage.json("prune", stage.run, "--yes")["deleted"]
    assert [one.checkpoint for one in committed(place, stage.run)] == ["model-2"]
    own_client = place.acting_as("controller").client(attempts=1)
    for name in ("launch", "run"):  # as a launch that failed is taken back
        own_client.delete_object(Bucket=BUCKET, Key=f"{PREFIX}/{stage.run}/{name}.json")
