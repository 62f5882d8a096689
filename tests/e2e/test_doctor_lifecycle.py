"""`runctl-agent doctor` on the bucket's lifecycle rules; each of its mends is done, and then there is nothing to mend."""

from __future__ import annotations

import json
import shlex
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from tests.e2e.agent import Agent
from tests.e2e.seaweed import S3

ABORT = {
    "ID": "abort",
    "Status": "Enabled",
    "Filter": {"Prefix": ""},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2},
}
EXPIRE = {"ID": "scratch", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 30}}
LOGS = {"ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "x/test-run/logs/"}, "Expiration": {"Days": 30}}
ARCHIVE = {
    "ID": "cold",
    "Status": "Enabled",
    "Filter": {"Prefix": "x/"},
    "Transitions": [{"Days": 90, "StorageClass": "GLACIER"}],
}
NAME = "s3 lifecycle"


@pytest.fixture
def own(s3: S3) -> Iterator[S3]:
    """A bucket of the test's own."""
    yield from bucket_of(s3)


def bucket_of(place: S3) -> Iterator[S3]:
    found = replace(place, bucket=f"lifecycle-{uuid.uuid4().hex[:12]}", prefix="x")
    found.client().create_bucket(Bucket=found.bucket)
    yield found
    found.client().delete_bucket_lifecycle(Bucket=found.bucket)


def put(place: S3, *rules: dict[str, Any]) -> None:
    place.client().put_bucket_lifecycle_configuration(
        Bucket=place.bucket, LifecycleConfiguration={"Rules": [cast(Any, rule) for rule in rules]}
    )


def mend(place: S3, text: str) -> None:
    """What a person does with the command."""
    words = shlex.split(text[text.index("`aws ") + 1 : text.rindex("`")])
    assert words[:5] == ["aws", "s3api", "put-bucket-lifecycle-configuration", "--bucket", place.bucket]
    put(place, *json.loads(words[words.index("--lifecycle-configuration") + 1])["Rules"])


def examined(tmp_path: Path, place: S3, *, code: int = 0) -> dict[str, Any]:
    watched = tmp_path / "checkpoints"
    watched.mkdir(exist_ok=True)
    agent = Agent(tmp_path, place, checkpoints=watched, staging={"keep_free": 0})
    done = agent.command("doctor", "--json", check=False)
    assert done.returncode == code, done.stdout + done.stderr
    found: dict[str, Any] = next(finding for finding in json.loads(done.stdout) if finding["name"] == NAME)
    return found


def rules(place: S3) -> list[str]:
    found = place.client().get_bucket_lifecycle_configuration(Bucket=place.bucket)
    return sorted(rule["ID"] for rule in found["Rules"])


def test_without_any_rule_the_missing_one_is_told(tmp_path: Path, own: S3) -> None:
    found = examined(tmp_path, own)
    assert found["ok"]
    assert found["text"].startswith("no rule aborts ")
    mend(own, found["advice"])
    after = examined(tmp_path, own)
    assert (after["ok"], "advice" in after) == (True, False)
    assert after["text"].startswith("unfinished uploads are aborted after 7 d")


def test_a_rule_that_expires_checkpoints_is_a_failure(tmp_path: Path, own: S3) -> None:
    put(own, ABORT, LOGS, EXPIRE)
    found = examined(tmp_path, own, code=6)
    assert not found["ok"]
    assert found["what"] == f"the lifecycle rule 'scratch' of s3://{own.bucket} expires what lies below x/test-run/"
    mend(own, found["mend"])
    assert rules(own) == ["abort", "logs"]
    assert "advice" not in examined(tmp_path, own)


def test_an_archive_is_a_warning(tmp_path: Path, moto_s3: S3) -> None:
    """On moto: SeaweedFS has no other storage class, and refuses such a rule."""
    for place in bucket_of(moto_s3):
        put(place, ABORT, ARCHIVE)
        found = place.store().lifecycle()
        assert [rule["ID"] for rule in found.rules] == ["abort", "cold"]
        told = examined(tmp_path, place)
        assert told["ok"]
        assert told["text"] == "the lifecycle rule 'cold' moves checkpoints to an archive, from which nothing can be restored"
        mend(place, told["advice"])
        assert rules(place) == ["abort"]


def test_who_may_not_read_the_rules_is_told_so_and_not_failed(tmp_path: Path, s3: S3) -> None:
    """The agent needs no such right."""
    found = examined(tmp_path, s3.acting_as("lister"), code=4)
    assert found["ok"]
    assert "AccessDenied" in found["text"]
    assert f"allow s3:GetLifecycleConfiguration on arn:aws:s3:::{s3.bucket}," in found["advice"]
