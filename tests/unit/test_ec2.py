from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import parse_qs

import boto3
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from moto.server import ThreadedMotoServer

from runctl_agent.contract import tags as contract
from runctl_agent.ec2 import Ec2Tags
from runctl_agent.errors import TagError, TagsFull, TagsRefused, TagsThrottled, TagsUnavailable
from runctl_agent.posts import TagPort
from runctl_agent.publish import Publisher
from runctl_agent.records import Instance
from tests.fakes.agent_state import drive, state
from tests.fakes.clock import FakeRuntime
from tests.fakes.tag_store import Facts

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import TagSpecificationTypeDef, TagTypeDef

REGION = "us-east-1"


def instance(name: str = "i-0123456789abcdef0") -> Instance:
    return Instance(name, REGION, "g5.xlarge", "us-east-1a", "boot", 1_799_999_000)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    for name in ["AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"]:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def launched(moto: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Instance]:
    """An instance as the controller launches it: with every tag there already."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", moto)
    with closing(boto3.client("ec2", region_name=REGION)) as client:
        tags: list[TagTypeDef] = [{"Key": key, "Value": ""} for key in contract.all_keys()]
        given: TagSpecificationTypeDef = {"ResourceType": "instance", "Tags": tags}
        ran = client.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1, TagSpecifications=[given])
        yield instance(ran["Instances"][0]["InstanceId"])


def test_tags_are_written_and_read_by_the_instance_alone(launched: Instance) -> None:
    tags = Ec2Tags(launched, lambda: None)
    port: TagPort = tags
    port.create({contract.PHASE: "training", contract.SUMMARY: "step 3 safe"})
    found = port.read()
    assert found[contract.PHASE] == "training"
    assert set(found) == set(contract.all_keys())
    assert Ec2Tags(instance("i-0000000000000000f"), lambda: None).read() == {}


def test_tags_in_imds_cost_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", "http://127.0.0.1:9")
    assert Ec2Tags(instance(), lambda: {"runctl:phase": "setup"}).read() == {"runctl:phase": "setup"}


def test_a_published_state_is_read_from_describe_tags(launched: Instance) -> None:
    runtime = FakeRuntime()
    tags = Ec2Tags(launched, lambda: None)
    publisher = Publisher(runtime, tags=tags, status=None, memory=Facts(), write_local=lambda _: None, instance=launched.id)
    for step in range(3):
        publisher.update(state(step, instance=launched.id))
        drive(runtime, publisher, 31)
        assert publisher.problems() == ()
    found = contract.read(tags.read(), instance=launched.id, launch_time=1_799_999_000)
    assert found.state is not None
    assert (found.state.step, found.state.generation, found.reason) == (2, 3, "")


class Answers(BaseHTTPRequestHandler):
    """An EC2 endpoint that answers every call alike. Status 0: it closes the connection instead."""

    status: ClassVar[int] = 200
    code: ClassVar[str] = ""
    actions: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.actions.append(parse_qs(body)["Action"][0])
        if not self.status:
            self.close_connection = True
            return
        answer = (
            f"<Response><Errors><Error><Code>{self.code}</Code><Message>as told</Message></Error></Errors></Response>".encode()
        )
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        pass


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Answers]]:
    class Own(Answers):
        actions: ClassVar[list[str]] = []

    with ThreadingHTTPServer(("127.0.0.1", 0), Own) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield Own
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "code", "error", "mend"),
    [
        (503, "RequestLimitExceeded", TagsThrottled, "backs off"),
        (400, "Throttling", TagsThrottled, "backs off"),
        (403, "UnauthorizedOperation", TagsRefused, "{action} on its own instance, in the policy"),
        (401, "AuthFailure", TagsRefused, "instance profile"),
        (400, "ExpiredToken", TagsRefused, "instance profile"),
        (400, "RequestExpired", TagsRefused, "clock"),
        (400, "InvalidInstanceID.NotFound", TagsRefused, "runctl-agent doctor"),
        (400, "TagLimitExceeded", TagsFull, "delete tags of i-0123456789abcdef0"),
        (500, "InternalError", TagsUnavailable, ""),
        (503, "Unavailable", TagsUnavailable, ""),
        (502, "", TagsUnavailable, ""),
        (0, "", TagsUnavailable, "route to the EC2 endpoint of us-east-1"),
    ],
)
@pytest.mark.parametrize("action", ["CreateTags", "DescribeTags"])
def test_every_answer_becomes_an_error_with_its_mend(
    action: str, status: int, code: str, error: type[TagError], mend: str, endpoint: type[Answers]
) -> None:
    endpoint.status, endpoint.code = status, code
    tags = Ec2Tags(instance(), lambda: None)
    with pytest.raises(error) as caught:
        tags.read() if action == "DescribeTags" else tags.create({"runctl:phase": "training"})
    assert type(caught.value) is error
    assert f"ec2:{action}" in caught.value.what
    assert "i-0123456789abcdef0" in caught.value.what
    assert code in caught.value.why
    assert mend.format(action=f"ec2:{action}") in caught.value.mend
    assert endpoint.actions == [action]  # nothing is sent twice behind our back: it could land late


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", "http://127.0.0.1:9")
    with pytest.raises(TagsUnavailable, match=r"127\.0\.0\.1:9"):
        Ec2Tags(instance(), lambda: None).create({})


def test_without_credentials_the_mend_is_an_instance_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(TagsRefused) as caught:
        Ec2Tags(instance(), lambda: None).create({})
    assert "instance profile" in caught.value.mend


def test_imds_that_fails_is_a_failed_read_and_no_failed_post(launched: Instance) -> None:
    def broken() -> Mapping[str, str] | None:
        raise OSError("no route to 169.254.169.254")

    runtime = FakeRuntime()
    tags = Ec2Tags(launched, broken)
    publisher = Publisher(runtime, tags=tags, status=None, memory=Facts(), write_local=lambda _: None)
    publisher.update(state(1, instance=launched.id))
    publisher.turn()
    assert [p.source for p in publisher.problems()] == ["reading tags"]
    assert Ec2Tags(launched, lambda: None).read()[contract.STEP] == "1"
