from __future__ import annotations

import doctest
import http.client
import json
import socket
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.contract.malformed import Malformed
from runctl_agent.errors import ConfigError, ImdsUnavailable
from runctl_agent.records import Instance
from runctl_agent.training import imds as module
from runctl_agent.training.imds import ENDPOINT, LIMIT, Imds, Metadata, parse_identity, parse_tag_keys
from runctl_simulator.imds import Identity, ImdsServer

BOOT = "0f1e2d3c-0000-0000-0000-000000000000"
SWITCHED_OFF = {"AWS_EC2_METADATA_DISABLED": "True"}


@pytest.fixture
def server() -> Iterator[ImdsServer]:
    with ImdsServer(
        Identity(instance_type="p5.48xlarge"), life_cycle="spot", tags={"Name": "gpt2", "runctl:phase": "é 1"}
    ) as one:
        yield one


@pytest.fixture
def imds(server: ImdsServer) -> Imds:
    return Imds(environ={"AWS_EC2_METADATA_SERVICE_ENDPOINT": server.endpoint})


class Answers:
    """Each path, without `/latest/`, has one answer; the token's is good unless said otherwise."""

    def __init__(
        self, answers: Mapping[str, tuple[int, bytes]] | None = None, *, token: tuple[int, bytes] = (200, b"T==")
    ) -> None:
        self.answers = {"api/token": token, **(answers or {})}
        self.asked: list[str] = []

    def __call__(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        self.asked.append(path.removeprefix("/latest/"))
        return self.answers.get(self.asked[-1], (404, b""))


def silent(method: str, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
    raise TimeoutError("timed out")


def ask(answers: Answers) -> Metadata:
    return Imds(opener=answers, environ={})


# --- on an instance ---


def test_who_we_are(imds: Imds) -> None:
    assert imds.identity(BOOT, 1_800_000_000) == Instance(
        id="i-0123456789abcdef0",
        region="us-east-1",
        type="p5.48xlarge",
        zone="us-east-1a",
        boot_id=BOOT,
        boot_time=1_800_000_000,
    )
    assert imds.life_cycle() == "spot"


def test_tags_are_read_with_one_token(imds: Imds, server: ImdsServer) -> None:
    assert imds.tags() == {"Name": "gpt2", "runctl:phase": "é 1"}
    assert imds.tags() == {"Name": "gpt2", "runctl:phase": "é 1"}
    assert [path for method, path, _ in server.requests if method == "PUT"] == ["api/token"]


def test_tags_that_are_not_enabled_are_none_and_no_tags_are_none_at_all(imds: Imds, server: ImdsServer) -> None:
    server.set_tags({})
    assert imds.tags() == {}
    server.set_tags(None)
    assert imds.tags() is None


def test_a_refused_token_is_renewed_once(imds: Imds, server: ImdsServer) -> None:
    assert imds.life_cycle() == "spot"
    server.forget_tokens()
    assert imds.life_cycle() == "spot"
    server.fail_next(401, times=2, path="meta-data")
    server.requests.clear()
    with pytest.raises(ImdsUnavailable, match="401"):
        imds.life_cycle()
    assert [status for _, _, status in server.requests] == [401, 200, 401]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_throttling_is_said_and_not_taken_for_nothing(imds: Imds, server: ImdsServer, status: int) -> None:
    server.fail_next(status, path="meta-data/tags")
    with pytest.raises(ImdsUnavailable, match=str(status)) as caught:
        imds.tags()
    assert caught.value.mend
    assert imds.tags() is not None
    server.fail_next(status, path="api/token")
    with pytest.raises(ImdsUnavailable, match="PUT"):
        imds.identity(BOOT, 0)
    assert imds.identity(BOOT, 0) is not None


def test_a_tag_removed_meanwhile_is_left_out() -> None:
    answers = Answers({"meta-data/tags/instance": (200, b"A\nB"), "meta-data/tags/instance/B": (200, b"b")})
    assert ask(answers).tags() == {"B": "b"}


# --- elsewhere ---


def test_switched_off_nothing_is_asked() -> None:
    answers = Answers()
    imds = Imds(opener=answers, environ=SWITCHED_OFF)
    assert imds.identity(BOOT, 0) is None
    assert imds.tags() is None
    assert imds.life_cycle() is None
    assert answers.asked == []


def test_where_nobody_answers_there_is_no_instance() -> None:
    imds = Imds(opener=silent, environ={})
    assert imds.identity(BOOT, 0) is None
    with pytest.raises(ImdsUnavailable, match="timed out"):
        imds.tags()


def test_a_closed_port_is_no_instance() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        assert Imds(endpoint, environ={}).identity(BOOT, 0) is None


@pytest.mark.parametrize(
    "token", [(404, b""), (405, b""), (403, b""), (200, b""), (200, b"two lines\nX: y"), (200, b"\xff" * 10)]
)
def test_another_clouds_service_is_no_instance(token: tuple[int, bytes]) -> None:
    answers = Answers(token=token)
    assert ask(answers).identity(BOOT, 0) is None
    assert ask(answers).tags() is None
    assert set(answers.asked) == {"api/token"}


def test_no_proxy_is_asked(server: ImdsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert Imds(server.endpoint, environ={}).identity(BOOT, 0) is not None


@contextmanager
def answering(reply: bytes) -> Iterator[str]:
    """Whatever connects is told `reply`, and cut off."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            self.request.sendall(reply)

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n" + b"x" * 100_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-" + b"f" * 40 + b"\r\nshort",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["another protocol", "nothing", "cut short", "too long", "too many headers", "a piece of -5", "less still", "a redirect"],
)
def test_what_is_no_metadata_service_is_no_instance(reply: bytes) -> None:
    with answering(reply) as endpoint:
        assert Imds(endpoint, environ={}).identity(BOOT, 0) is None


@pytest.mark.parametrize("endpoint", ["file:///etc/passwd", "ftp://x", "169.254.169.254", "http://", "http://[", "http://x:y"])
def test_an_endpoint_that_cannot_be_is_refused_at_once(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="metadata service") as caught:
        Imds(environ={"AWS_EC2_METADATA_SERVICE_ENDPOINT": endpoint})
    assert "AWS_EC2_METADATA_SERVICE_ENDPOINT" in caught.value.mend


def test_the_endpoint_is_where_ec2_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts: list[str] = []

    def refuse(self: http.client.HTTPConnection) -> None:
        hosts.append(f"http://{self.host}")
        raise ConnectionRefusedError

    monkeypatch.setattr(http.client.HTTPConnection, "connect", refuse)
    assert Imds(environ={}).identity(BOOT, 0) is None
    assert hosts == [ENDPOINT, ENDPOINT]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return found


def test_what_does_not_change_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    answers = Answers(token=(403, b""))
    imds = ask(answers)
    for _ in range(3):
        assert imds.identity(BOOT, 0) is None
        assert imds.tags() is None
    (said,) = warnings(caplog)
    assert "HTTP 403" in said
    answers.answers["api/token"] = (404, b"")
    assert imds.tags() is None
    assert imds.tags() is None
    (said,) = warnings(caplog)
    assert "HTTP 404" in said
    answers.answers["api/token"] = (200, b"T==")
    assert imds.identity(BOOT, 0) is None
    assert warnings(caplog) == []
    imds = ask(answers)
    answers.answers["api/token"] = (403, b"")
    assert imds.tags() is None
    assert len(warnings(caplog)) == 1


def test_after_it_was_well_it_is_told_again(caplog: pytest.LogCaptureFixture) -> None:
    answers = Answers({"meta-data/tags/instance": (200, b"../..")})
    imds = ask(answers)
    for _ in range(2):
        assert imds.tags() is None
    assert len(warnings(caplog)) == 1
    answers.answers["meta-data/tags/instance"] = (200, b"")
    assert imds.tags() == {}
    answers.answers["meta-data/tags/instance"] = (200, b"../..")
    assert imds.tags() is None
    assert len(warnings(caplog)) == 1
    answers.answers["dynamic/instance-identity/document"] = (200, b"{}")
    for _ in range(2):
        assert imds.identity(BOOT, 0) is None
    assert len(warnings(caplog)) == 1


def test_silence_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    imds = Imds(opener=silent, environ={})
    for _ in range(3):
        assert imds.identity(BOOT, 0) is None
    assert len(warnings(caplog)) == 1


# --- hostile answers ---


DOCUMENT = {"instanceId": "i-0123", "region": "us-east-1", "instanceType": "g5.xlarge", "availabilityZone": "us-east-1a"}


@pytest.mark.parametrize("name", DOCUMENT)
@pytest.mark.parametrize("value", [None, 5, "", "../..", "a b", "x" * 100, ["i-0123"], "\u0661", "i-0123\n"])
def test_a_document_with_a_wrong_field_is_malformed(name: str, value: object) -> None:
    answers = Answers({"dynamic/instance-identity/document": (200, json.dumps({**DOCUMENT, name: value}).encode())})
    assert ask(answers).identity(BOOT, 0) is None


@given(st.binary(max_size=200) | st.just(b"[" * LIMIT))
def test_any_document_is_an_instance_or_malformed(document: bytes) -> None:
    assert isinstance(parse_identity(document, BOOT, 0), Malformed)


@given(st.binary(max_size=100))
def test_any_listing_is_keys_or_malformed(listed: bytes) -> None:
    keys = parse_tag_keys(listed)
    assert isinstance(keys, Malformed) or all(key.isascii() and "/" not in key and "?" not in key for key in keys)


def test_keys_that_are_none_are_not_asked_for() -> None:
    answers = Answers({"meta-data/tags/instance": (200, b"Name\n../../user-data")})
    assert ask(answers).tags() is None
    assert answers.asked == ["api/token", "meta-data/tags/instance"]


@pytest.mark.parametrize("word", [b"", b"two words", b"\xff", b"<html>", b"x" * 100])
def test_a_life_cycle_that_is_no_word_is_none(word: bytes) -> None:
    assert ask(Answers({"meta-data/instance-life-cycle": (200, word)})).life_cycle() is None


def test_the_examples_hold() -> None:
    assert doctest.testmod(module).failed == 0


def test_one_connection_serves_one_task_and_is_made_anew_where_it_was_closed() -> None:
    path = "meta-data/spot/instance-action"
    with ImdsServer() as server:
        imds = Imds(server.endpoint, kept=True, environ={})
        assert [imds.event(path) for _ in range(3)] == [None] * 3
        connection = vars(imds._open)["_connection"]
        first = connection.sock
        imds.event(path)
        assert first is not None
        assert connection.sock is first, "it is the same one"
        first.shutdown(socket.SHUT_RDWR)
        server.interrupt_spot("stop", datetime(2027, 1, 1, tzinfo=UTC))
        assert b"stop" in (imds.event(path) or b"")
        assert connection.sock is not first
        server.forget_tokens()
        assert b"stop" in (imds.event(path) or b"")
        connection.close()
    with pytest.raises(ImdsUnavailable):
        imds.event(path)
    connection.close()
