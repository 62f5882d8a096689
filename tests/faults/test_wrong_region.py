"""The bucket is in another region than requests go to, and the SDK can't follow it there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.agent import Agent
from tests.e2e.answering import Answer, answering, s3_error
from tests.e2e.bounded import denied
from tests.e2e.seaweed import S3
from tests.fakes.trainer_disk import body


@pytest.mark.parametrize(
    "answer",
    [
        Answer(400, s3_error("AuthorizationHeaderMalformed", "the region 'us-east-1' is wrong", Region="eu-west-1")),
        Answer(301, s3_error("PermanentRedirect", "use that endpoint"), headers={"x-amz-bucket-region": "eu-west-1"}),
    ],
    ids=["AuthorizationHeaderMalformed", "PermanentRedirect"],
)
def test_both_regions_are_named(tmp_path: Path, answer: Answer) -> None:
    watched = tmp_path / "checkpoints"
    watched.mkdir()
    (watched / "model.pt").write_bytes(body("model.pt"))
    with answering(answer) as server:
        agent = Agent(tmp_path, S3(server.endpoint, ""), checkpoints=watched, settle="300ms")
        with agent.running() as process:
            status = agent.wait_for(lambda status: bool(denied(status)) and status["pending_checkpoints"] == 1, process)
        assert "the bucket is in eu-west-1 and the request went to us-east-1" in denied(status)
        assert "AWS_REGION=eu-west-1" in denied(status)
        assert not [request for request in server.requests if request[0] == "PUT"]
