"""A large body goes straight into the socket; whatever befalls it there, what comes of it is what botocore makes of it."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import socket
import ssl
import struct
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from boto3.session import Session
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from urllib3.response import HTTPResponse

from bench.sink import make_certificates
from runctl_agent.errors import (
    BadChecksum,
    NoSuchUpload,
    PreconditionFailed,
    RunctlError,
    SlowDown,
    StoreRefused,
    StoreUnavailable,
    StoreUnusable,
)
from runctl_agent.store.bandwidth import Limiter
from runctl_agent.store.crc import crc32
from runctl_agent.store.direct import AGENT, LEAST
from runctl_agent.store.s3 import S3Store, connect
from runctl_agent.store.wire import Answer as WireAnswer
from runctl_agent.store.wire import Wire
from tests.e2e.answering import Answer, s3_error
from tests.e2e.seaweed import BUCKET, S3
from tests.fakes.clock import FakeRuntime

BODY = memoryview(os.urandom(LEAST + 12_345))
CRC = crc32(BODY)

GOOD = Answer(200, headers={"ETag": '"etag"'})
RESET = Answer(-1)
"""The connection is reset in the middle of the body."""
LOST = Answer(-2)
"""The whole body arrives, and no answer goes out."""
GARBAGE = Answer(-3)
"""What comes back is no HTTP."""
LAST = Answer(200, headers={"ETag": '"etag"', "Connection": "close"})


@dataclass
class Put:
    path: str
    direct: bool
    body: bytes
    headers: dict[str, str]


@dataclass
class Script:
    """Gives the PUTs their answers in order, the last one for ever; every other request succeeds, empty."""

    answers: list[Answer]
    puts: list[Put] = field(default_factory=list)
    connections: set[tuple[str, int]] = field(default_factory=set)
    endpoint: str = ""

    @property
    def ways(self) -> list[str]:
        return ["direct" if put.direct else "botocore" for put in self.puts]


@contextmanager
def scripted(*answers: Answer, tls: Path | None = None) -> Iterator[Script]:
    script = Script(list(answers))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            answer = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
            size = int(self.headers["Content-Length"])
            body = self.rfile.read(size // 2 if answer is RESET else size)
            headers = {name.lower(): value for name, value in self.headers.items()}
            script.puts.append(Put(self.path, headers.get("user-agent") == AGENT, body, headers))
            script.connections.add(self.client_address)
            if answer is GARBAGE:
                self.wfile.write(b"+OK ready\r\n\r\n")
            if answer.status < 0:
                self._break(reset=answer is RESET)
                return
            self.send_response(answer.status)
            for name, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def do_GET(self) -> None:
            body = b"<ListBucketResult/>"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - http.server's name

        def _break(self, *, reset: bool) -> None:
            self.close_connection = True
            if reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a connection that this test has broken

    with Server(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls / "sink.pem", tls / "sink.key")
            server.socket = context.wrap_socket(server.socket, server_side=True)
        script.endpoint = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield script
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def opened(script: Script) -> Iterator[S3Store]:
    """One attempt a call of botocore's, which has shown the way with a first part."""
    place = S3(script.endpoint, "")
    with S3Store(BUCKET, client=place.client(attempts=1)) as store:
        learn(script, store)
        yield store
    place.close()


def learn(script: Script, store: S3Store) -> None:
    coming, script.answers = script.answers, [GOOD]
    store.put_part("another key", "upload", 1, BODY, CRC)
    assert script.ways == ["botocore"]
    script.answers = coming
    script.puts.clear()
    script.connections.clear()


def part(store: S3Store, number: int = 1) -> str:
    return store.put_part("a key/é", "up/load", number, BODY, CRC)


def test_a_part_is_one_signed_request_with_the_whole_body() -> None:
    with scripted(GOOD) as script, opened(script) as store:
        assert part(store) == '"etag"'
        (put,) = script.puts
    assert put.direct
    assert put.body == BODY
    assert put.path == f"/{BUCKET}/a%20key/%C3%A9?partNumber=1&uploadId=up%2Fload"
    assert put.headers["x-amz-checksum-crc32"] == base64.b64encode(CRC.to_bytes(4, "big")).decode()
    assert put.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=admin/")
    assert "x-amz-checksum-crc32" in put.headers["authorization"]
    assert "expect" not in put.headers


def test_small_bodies_and_those_that_replace_go_by_botocore() -> None:
    with scripted(GOOD) as script, opened(script) as store:
        store.put("small", b"body", crc=crc32(b"body"))
        store.put("large", BODY, crc=CRC, if_match='"etag"')
        store.put("large", BODY, crc=CRC)
        assert script.ways == ["botocore", "botocore", "direct"]
        assert [put.body for put in script.puts] == [b"body", BODY, BODY]
        assert not any("expect" in put.headers for put in script.puts)


def test_a_connection_is_used_again() -> None:
    with scripted(GOOD) as script, opened(script) as store:
        for number in (1, 2, 3):
            part(store, number)
        assert script.ways == ["direct"] * 3
        assert len(script.connections) == 1


def test_an_answer_with_a_body_leaves_the_connection_as_it_should_be() -> None:
    talking = Answer(200, b"x" * 20_000, headers={"ETag": '"etag"'})
    with scripted(talking) as script, opened(script) as store:
        for number in (1, 2, 3):
            part(store, number)
        assert script.ways == ["direct"] * 3
        assert len(script.connections) == 1


def test_a_connection_that_the_server_closes_is_replaced() -> None:
    with scripted(LAST, GOOD, LAST, GOOD) as script, opened(script) as store:
        for number in (1, 2, 3, 4):
            part(store, number)
        assert script.ways == ["direct"] * 4
        assert len(script.connections) == 3


ERRORS: list[tuple[int, str, type[RunctlError], str]] = [
    (403, "AccessDenied", StoreRefused, f"allow s3:PutObject on arn:aws:s3:::{BUCKET}/"),
    (400, "ExpiredToken", StoreUnusable, "renew the credentials"),
    (404, "NoSuchUpload", NoSuchUpload, "sent again"),
    (404, "NoSuchBucket", StoreUnusable, "aws s3 mb"),
    (400, "BadDigest", BadChecksum, "sent again"),
    (503, "SlowDown", SlowDown, "fewer requests"),
    (500, "InternalError", StoreUnavailable, "tried again"),
    (400, "RequestTimeout", StoreUnavailable, "tried again"),
    (412, "PreconditionFailed", PreconditionFailed, "read"),
]


@pytest.mark.parametrize(("status", "code", "kind", "mend"), ERRORS)
def test_a_refusal_is_said_as_botocore_has_it(status: int, code: str, kind: type[RunctlError], mend: str) -> None:
    with scripted(Answer(status, s3_error(code, "said the server"))) as script, opened(script) as store:
        with pytest.raises(kind) as caught:
            part(store)
        assert type(caught.value) is kind
        assert mend in caught.value.mend
        assert script.ways == ["direct", "botocore"]


@pytest.mark.parametrize(
    "fault",
    [
        RESET,
        LOST,
        GARBAGE,
        Answer(503, s3_error("SlowDown", "slow down")),
        Answer(500),
        Answer(502, b"<html>a proxy</html>"),
        Answer(400, s3_error("BadDigest", "a byte changed on the way")),
        Answer(200),
        Answer(307, headers={"Location": "http://127.0.0.1:9/"}),
    ],
    ids=["reset", "lost answer", "no HTTP", "SlowDown", "500", "no S3", "BadDigest", "no etag", "redirect"],
)
def test_what_fails_once_is_sent_again_from_its_first_byte(fault: Answer) -> None:
    with scripted(fault, GOOD) as script, opened(script) as store:
        assert part(store) == '"etag"'
        assert script.ways == ["direct", "botocore"]
        assert script.puts[1].body == BODY


@pytest.mark.parametrize("fault", [RESET, LOST, GARBAGE], ids=["reset", "lost answer", "no HTTP"])
def test_what_fails_again_is_unavailable(fault: Answer) -> None:
    with scripted(fault) as script, opened(script) as store, pytest.raises(StoreUnavailable):
        part(store)


def test_the_lost_answer_of_a_conditional_write_is_decided_by_reading_back() -> None:
    refusal = Answer(412, s3_error("PreconditionFailed", "it is there"))
    with scripted(LOST, refusal) as script, opened(script) as store:
        with pytest.raises(PreconditionFailed):
            store.put("key", BODY, crc=CRC, if_absent=True)
        assert script.ways == ["direct", "botocore"]
        assert [put.headers["if-none-match"] for put in script.puts] == ["*", "*"]


def test_another_region_is_botocores_to_find() -> None:
    wrong = Answer(400, s3_error("AuthorizationHeaderMalformed", "the region is wrong", Region="eu-west-1"))
    with scripted(wrong, wrong, GOOD) as script:
        place = S3(script.endpoint, "")
        with S3Store(BUCKET, client=place.client(attempts=2)) as store:
            learn(script, store)
            assert part(store) == '"etag"'
            part(store)  # by botocore once more, after a failure
            part(store)
        place.close()
        assert script.ways == ["direct", "botocore", "botocore", "botocore", "direct"]
        assert ["/eu-west-1/s3/" in put.headers["authorization"] for put in script.puts] == [False, False, True, True, True]


def test_what_fails_here_and_goes_well_there_is_tried_ever_less_often() -> None:
    no = Answer(403)
    with scripted(no, GOOD, GOOD, no, GOOD, GOOD, GOOD, GOOD, GOOD) as script, opened(script) as store:
        for number in range(1, 9):
            part(store, number)
        failed = ["direct", "botocore"]
        assert script.ways == [*failed, "botocore", *failed, *["botocore"] * 3, "direct", "direct"]


def test_a_proxy_is_botocores(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(GOOD) as script:
        monkeypatch.setenv("HTTP_PROXY", script.endpoint)
        monkeypatch.setenv("NO_PROXY", "")
        elsewhere = "http://192.0.2.1:9000"  # TEST-NET-1: nobody is there
        with S3Store(BUCKET, client=S3(elsewhere, "").client()) as store:
            part(store)
            part(store)
        assert script.ways == ["botocore", "botocore"]
        assert script.puts[1].path.startswith(elsewhere)


def test_a_limit_paces_the_body() -> None:
    runtime = FakeRuntime()
    with scripted(GOOD) as script:
        place = S3(script.endpoint, "")
        with S3Store(BUCKET, client=place.client(), limiter=Limiter(runtime, LEAST)) as store:
            learn(script, store)
            began = runtime.monotonic()
            part(store)
            assert script.ways == ["direct"]
            assert script.puts[0].body == BODY
        place.close()
        assert runtime.monotonic() - began == pytest.approx(len(BODY) / LEAST, rel=0.02)


@pytest.mark.parametrize("name", ["plain", "a b+c&d=%2F?#é", "~.-_!'()*", "a//b"])
def test_a_real_s3_takes_every_name_and_checks_the_body(s3: S3, name: str) -> None:
    key = f"{s3.prefix}/{name}"
    store = s3.store()
    store.put(f"{s3.prefix}/first", BODY, crc=CRC)
    store.put(key, BODY, crc=CRC)
    got, head = store.get(key), store.head(key)
    assert got is not None
    assert got.body == BODY
    assert head is not None
    assert head.crc == CRC
    with pytest.raises(BadChecksum):
        store.put(key + "-bad", BODY, crc=CRC ^ 1)
    assert store.head(key + "-bad") is None


# --- TLS ---


@pytest.fixture
def trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Certificates of a server on loopback, trusted as a user would have it."""
    make_certificates(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    return tmp_path


def test_over_tls_the_body_itself_is_not_signed(trust: Path) -> None:
    with scripted(GOOD, tls=trust) as script, opened(script) as store:
        part(store)
        part(store)
        assert script.ways == ["direct", "direct"]
        assert len(script.connections) == 1
        assert [put.headers["x-amz-content-sha256"] for put in script.puts] == ["UNSIGNED-PAYLOAD"] * 2
        assert script.puts[1].body == BODY


def test_without_tls_it_is() -> None:
    with scripted(GOOD) as script, opened(script) as store:
        part(store)
    assert [put.headers["x-amz-content-sha256"] for put in script.puts] == [hashlib.sha256(BODY).hexdigest()]


def test_a_certificate_that_is_not_trusted_gets_no_body(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    with scripted(GOOD, tls=tmp_path) as script:
        place = S3(script.endpoint, "")
        with S3Store(BUCKET, client=place.client(attempts=1)) as store:
            for _ in range(2):
                with pytest.raises(StoreRefused, match=r"CERTIFICATE_VERIFY_FAILED"):
                    part(store)
        place.close()
    assert script.puts == []


# --- where it goes ---


@pytest.mark.parametrize(
    ("bucket", "url"),
    [
        ("a-bucket", "https://a-bucket.s3.eu-west-1.amazonaws.com/a%20key/%C3%A9"),
        ("dotted.bucket", "https://s3.eu-west-1.amazonaws.com/dotted.bucket/a%20key/%C3%A9"),
    ],
)
def test_amazon_is_addressed_as_botocore_addresses_it(bucket: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No Amazon is at hand: each way is asked what it would send, by an event of botocore's and by the wire."""
    asked: list[str] = []

    def told(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        asked.append(request.url.partition("?")[0])
        return AWSResponse(request.url, 200, HTTPHeaders.from_dict({"ETag": '"etag"'}), HTTPResponse(io.BytesIO()))

    def sent(self: Wire, target: str, headers: Mapping[str, str], body: Iterable[memoryview]) -> WireAnswer:
        asked.append(f"https://{headers['Host']}{target.partition('?')[0]}")
        return WireAnswer(200, {"etag": '"etag"'})

    monkeypatch.setattr(Wire, "put", sent)
    client = connect("eu-west-1", session=Session(aws_access_key_id="id", aws_secret_access_key="secret"))
    client.meta.events.register("before-send.s3.UploadPart", told)  # type: ignore[arg-type]  # what it returns is the answer
    with S3Store(bucket, client=client) as store:
        part(store)
        part(store)
    assert asked == [url, url]
