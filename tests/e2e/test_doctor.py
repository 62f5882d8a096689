"""`runctl-agent doctor`: every right by doing, every mend named, and no check stops another."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from boto3.session import Session

from runctl_agent.config import load_spec
from runctl_agent.doctor import Doctor
from runctl_agent.machine import Machine
from runctl_agent.runtime import ThreadRuntime
from runctl_simulator.imds import Identity, ImdsServer
from tests.e2e.agent import Agent
from tests.e2e.answering import Answer, answering, s3_error
from tests.e2e.seaweed import REGION, S3

RIGHTS = ("s3 bucket", "s3 write", "s3 read", "s3 list", "s3 multipart")


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    directory = tmp_path / "checkpoints"
    directory.mkdir()
    return directory


@pytest.fixture
def imds() -> Iterator[str]:
    with ImdsServer(Identity(instance_id="i-0aaaaaaaaaaaaaaaa")) as server:
        yield server.endpoint


def examine(agent: Agent, *, code: int = 0) -> dict[str, dict[str, Any]]:
    done = agent.command("doctor", "--json", check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert not done.stderr
    return {finding["name"]: finding for finding in json.loads(done.stdout)}


def failed(findings: dict[str, dict[str, Any]]) -> set[str]:
    return {name for name, finding in findings.items() if not finding["ok"]}


def left_in_s3(s3: S3) -> list[str]:
    with s3.store() as store:
        return list(store.list(s3.prefix))


def test_all_is_well(tmp_path: Path, s3: S3, watched: Path) -> None:
    (watched / "model.pt").write_bytes(b"\x80\x04N.")
    before = sorted(os.listdir(watched)), os.stat(watched).st_mtime_ns
    agent = Agent(tmp_path, s3, checkpoints=watched, staging={"keep_free": 0})
    findings = examine(agent)
    assert failed(findings) == set()
    assert findings["identity"]["text"] == "outside EC2: no tags are posted"
    assert findings[f"watched {watched}"]["text"] == "1 checkpoint"
    assert findings[f"staging {watched}"]["text"].startswith("by ")
    assert set(RIGHTS) < set(findings)
    assert "tags" not in findings

    assert left_in_s3(s3) == [f"{s3.prefix}/test-run/probe.json"]
    assert not s3.client().list_multipart_uploads(Bucket=s3.bucket, Prefix=s3.prefix).get("Uploads")
    assert (sorted(os.listdir(watched)), os.stat(watched).st_mtime_ns) == before
    assert os.stat(watched / "model.pt").st_nlink == 1
    assert [os.listdir(staging) for staging in agent.state_dir.rglob("staging")] == [[]]
    assert "daemon.lock" not in os.listdir(agent.state_dir)


def test_people_read_one_line_a_finding(tmp_path: Path, s3: S3, watched: Path) -> None:
    done = Agent(tmp_path, s3, checkpoints=watched, staging={"keep_free": 0}).command("doctor")
    lines = done.stdout.splitlines()
    note, mend = (line for line in lines if not line.startswith("ok   "))
    assert note.startswith("note s3 lifecycle: no rule aborts ")
    assert mend.startswith("     mend: `aws s3api put-bucket-lifecycle-configuration ")
    assert "ok   identity: outside EC2: no tags are posted" in lines


def test_a_right_that_is_missing_is_named_and_the_others_are_tried(tmp_path: Path, s3: S3, watched: Path) -> None:
    s3.store().put(f"{s3.prefix}/test-run/probe.json", b"{}")
    findings = examine(Agent(tmp_path, s3.acting_as("reader"), checkpoints=watched, staging={"keep_free": 0}), code=4)
    assert failed(findings) == {"s3 write", "s3 multipart"}
    assert f"s3:PutObject on arn:aws:s3:::{s3.bucket}/{s3.prefix}/test-run/probe.json" in findings["s3 write"]["mend"]
    assert left_in_s3(s3) == [f"{s3.prefix}/test-run/probe.json"]


def test_a_stranger_is_refused_everything_but_learns_of_the_machine(tmp_path: Path, s3: S3, watched: Path) -> None:
    done = Agent(tmp_path, s3.acting_as("stranger"), checkpoints=watched).command("doctor", check=False)
    assert done.returncode == 4
    assert all(f"FAIL {name}: " in done.stdout for name in RIGHTS)
    assert done.stdout.count("     mend: allow s3:") == len(RIGHTS) + 1
    assert "note s3 lifecycle: not known: GetBucketLifecycleConfiguration" in done.stdout
    assert f"ok   watched {watched}" in done.stdout
    assert "ok   clock: " in done.stdout, "a refusal, too, bears a date"
    assert left_in_s3(s3) == []


def test_no_bucket(tmp_path: Path, s3: S3, watched: Path) -> None:
    agent = Agent(tmp_path, S3(s3.endpoint, s3.prefix, bucket="there-is-no-such-bucket"), checkpoints=watched)
    findings = examine(agent, code=4)
    assert failed(findings) & {"s3 bucket", *RIGHTS} == {"s3 bucket"}, "one cause is told once"
    assert "s3 write" in findings["not tried"]["text"]
    assert "aws s3 mb s3://there-is-no-such-bucket" in findings["s3 bucket"]["mend"]
    assert "there-is-no-such-bucket" not in [bucket["Name"] for bucket in s3.client().list_buckets()["Buckets"]]


def test_nothing_answers(tmp_path: Path, watched: Path, refused: str) -> None:
    agent = Agent(tmp_path, S3(refused, "x"), checkpoints=watched, staging={"keep_free": 0})
    findings = examine(agent, code=7)
    assert failed(findings) == {"clock"}, "one cause is told once"
    assert "check the route" in findings["clock"]["mend"]
    assert findings["not tried"]["text"] == ", ".join([*RIGHTS, "s3 lifecycle"])
    assert f"watched {watched}" in findings


def test_a_store_that_ignores_conditions_is_refused(tmp_path: Path, watched: Path) -> None:
    with answering(Answer(200)) as server:
        findings = examine(Agent(tmp_path, S3(server.endpoint, "x"), checkpoints=watched), code=4)
    assert "s3 write" in failed(findings)
    assert "commits nothing" in findings["s3 write"]["what"]


def test_a_clock_that_is_wrong(tmp_path: Path, s3: S3, watched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(ThreadRuntime):
        def now(self) -> float:
            return super().now() - 3600

    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    agent = Agent(tmp_path, s3, checkpoints=watched)
    agent.state_dir.mkdir()
    spec = load_spec(str(agent.config), Late())
    findings = {f.name: f for f in Doctor(Late(), spec, Machine(Late(), spec, str(agent.state_dir))).examine()}
    assert "s behind S3's" in str(findings["clock"])
    assert "timedatectl" in str(findings["clock"])
    assert findings["s3 write"].error is None


def test_expired_credentials(tmp_path: Path, watched: Path) -> None:
    body = s3_error("ExpiredToken", "The provided token has expired.")
    with answering(Answer(400, body)) as server:
        findings = examine(Agent(tmp_path, S3(server.endpoint, "x"), checkpoints=watched), code=4)
    assert failed(findings) & {"s3 bucket", *RIGHTS} == {"s3 bucket"}, "one cause is told once"
    assert "renew the credentials" in findings["s3 bucket"]["mend"]
    assert findings["clock"]["ok"]


def test_a_directory_that_is_not_there_yet_is_waited_for(tmp_path: Path, s3: S3) -> None:
    agent = Agent(tmp_path, s3, checkpoints=tmp_path / "later", staging={"keep_free": 0})
    findings = examine(agent)
    assert "does not exist yet" in findings[f"watched {tmp_path / 'later'}"]["text"]
    assert not (tmp_path / "later").exists()


def test_a_file_in_the_directorys_place_and_too_little_room(tmp_path: Path, s3: S3) -> None:
    (tmp_path / "file").write_bytes(b"x")
    agent = Agent(tmp_path, s3, checkpoints=tmp_path / "file", staging={"keep_free": "100000TB"})
    findings = examine(agent, code=6)
    assert failed(findings) == {f"watched {tmp_path / 'file'}", f"space {agent.state_dir}"}
    assert findings[f"watched {tmp_path / 'file'}"]["why"] == "it is not a directory"
    assert "staging.keep_free" in findings[f"space {agent.state_dir}"]["mend"]


def test_an_image_needs_docker(tmp_path: Path, s3: S3, watched: Path) -> None:
    training = {"command": ["true"], "image": "busybox"}
    agent = Agent(tmp_path, s3, checkpoints=watched, staging={"keep_free": 0}, training=training, env={"PATH": str(tmp_path)})
    findings = examine(agent, code=5)
    assert failed(findings) == {"docker"}
    assert "install it in the machine image" in findings["docker"]["mend"]


def test_on_an_instance_its_tags_are_tried_and_not_written(tmp_path: Path, s3: S3, watched: Path, imds: str, moto_s3: S3) -> None:
    session = Session(s3.access_key, s3.secret_key, region_name=REGION)
    env = {"AWS_EC2_METADATA_DISABLED": "", "AWS_EC2_METADATA_SERVICE_ENDPOINT": imds, "AWS_ENDPOINT_URL_EC2": moto_s3.endpoint}
    agent = Agent(tmp_path, s3, checkpoints=watched, env=env, staging={"keep_free": 0})
    findings = examine(agent)
    assert findings["identity"]["text"] == "i-0aaaaaaaaaaaaaaaa (g5.xlarge in us-east-1a)"
    assert findings["tags"]["text"] == "may be written and read on i-0aaaaaaaaaaaaaaaa"
    with closing(session.client("ec2", endpoint_url=moto_s3.endpoint)) as ec2:
        # The server is shared with other tests.
        assert ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": ["i-0aaaaaaaaaaaaaaaa"]}])["Tags"] == []


def test_tags_that_may_not_be_written(tmp_path: Path, s3: S3, watched: Path, imds: str) -> None:
    body = b"<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>no</Message></Error></Errors></Response>"
    with answering(Answer(403, body)) as ec2:
        env = {"AWS_EC2_METADATA_DISABLED": "", "AWS_EC2_METADATA_SERVICE_ENDPOINT": imds, "AWS_ENDPOINT_URL_EC2": ec2.endpoint}
        findings = examine(Agent(tmp_path, s3, checkpoints=watched, env=env, staging={"keep_free": 0}), code=4)
    assert failed(findings) == {"tags"}
    assert "ec2:CreateTags on its own instance" in findings["tags"]["mend"]
