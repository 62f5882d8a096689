"""Where the bucket is: as S3 says it in a header, of a refusal too; and what that means for a launch."""

from __future__ import annotations

import pytest

from runctl.checked import elsewhere, other_region
from runctl.shelf import Shelf
from runctl_agent.errors import ConfigError
from tests.e2e.answering import Answer, answering
from tests.fakes.clock import FakeRuntime


@pytest.mark.parametrize("status", [200, 403, 404])
def test_the_region_stands_in_every_answer(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(Answer(status, headers={"x-amz-bucket-region": "eu-west-1"})) as server:
        assert shelf(monkeypatch, server.endpoint).region() == "eu-west-1"


def test_a_server_that_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(Answer(200)) as server:
        assert shelf(monkeypatch, server.endpoint).region() == ""


def shelf(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> Shelf:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return Shelf("s3://bucket/runs", FakeRuntime())


def test_only_amazons_own_s3_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(Answer(200, headers={"x-amz-bucket-region": "eu-west-1"})) as server:
        assert elsewhere(shelf(monkeypatch, server.endpoint), "us-east-1") is None


def test_a_bucket_elsewhere_is_refused() -> None:
    assert other_region("bucket", "us-east-1", "us-east-1") is None
    assert other_region("bucket", "", "us-east-1") is None
    error = other_region("bucket", "eu-west-1", "us-east-1")
    assert isinstance(error, ConfigError)
    assert error.mend == "AWS_REGION=eu-west-1, or region in runctl.yaml; or a bucket in us-east-1"
