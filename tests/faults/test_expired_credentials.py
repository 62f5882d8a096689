"""S3 refuses the credentials. A HEAD would not say why, for its answer has no body."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.agent import Agent
from tests.e2e.answering import Answer, answering, s3_error
from tests.e2e.bounded import denied
from tests.e2e.seaweed import S3
from tests.fakes.trainer_disk import body


@pytest.mark.parametrize(
    ("status", "code", "mend"),
    [(400, "ExpiredToken", "renew the credentials"), (403, "InvalidAccessKeyId", "aws sts get-caller-identity")],
)
def test_the_reason_and_the_mend_are_published(tmp_path: Path, status: int, code: str, mend: str) -> None:
    watched = tmp_path / "checkpoints"
    watched.mkdir()
    (watched / "model.pt").write_bytes(body("model.pt"))
    with answering(Answer(status, s3_error(code, "as told"))) as server:
        agent = Agent(tmp_path, S3(server.endpoint, "some/prefix"), checkpoints=watched, settle="300ms")
        with agent.running() as process:
            seen = agent.wait_for(lambda status: bool(denied(status)) and status["pending_checkpoints"] == 1, process)
            assert code in denied(seen)
            assert mend in denied(seen)
        done = agent.command("flush", check=False)
        assert done.returncode == 4
        assert mend in done.stderr
        assert not [request for request in server.requests if request[0] == "PUT"]
        # Whoever may list only the run's own prefix is refused everything that asks for less.
        assert all("prefix=some%2Fprefix%2Ftest-run%2F" in path for _, path, _ in server.requests)
