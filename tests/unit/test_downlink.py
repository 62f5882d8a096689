"""GetObject over TLS by connections of our own: what arrives, and that whatever fails there is botocore's to do and explain."""

from __future__ import annotations

import os
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from boto3.session import Session

from bench.sink import make_certificates
from runctl_agent.errors import NotFoundError, SlowDown, StoreRefused, StoreUnavailable
from runctl_agent.store import downlink
from runctl_agent.store.s3 import S3Store, connect

CONTENT = os.urandom(3_000_000)


class Server(ThreadingHTTPServer):
    """One object at every key. `connections` counts what was accepted; `spoil` may do something else in place of an answer."""

    daemon_threads = False  # the end of the server waits for them

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        make_certificates(folder)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(folder / "sink.pem", folder / "sink.key")
        self.endpoint = f"https://127.0.0.1:{self.server_address[1]}"
        self.connections = 0
        self.spoil: Callable[[_Handler], bool] = lambda handler: False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that does not trust us is no concern of ours."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    def store(self) -> S3Store:
        session = Session("key", "secret")
        return S3Store("bucket", client=connect("us-east-1", endpoint=self.endpoint, session=session, attempts=2))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        self.server.connections += 1
        self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def finish(self) -> None:
        with suppress(OSError):  # the client has gone
            super().finish()
        self.request.close()

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True

    def do_GET(self) -> None:
        if self.server.spoil(self):
            return
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        self.answer(206, CONTENT[int(first) : int(last) + 1])

    def answer(self, status: int, body: bytes, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.send_header("ETag", '"etag"')
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status: int, code: str) -> bool:
        self.answer(status, f"<Error><Code>{code}</Code><Message>so it is</Message></Error>".encode())
        return True

    def hang_up(self) -> bool:
        self.close_connection = True
        return True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server(tmp_path) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def store(server: Server) -> Iterator[S3Store]:
    with server.store() as store:
        yield store


def test_ranges_one_after_the_other_are_one_connection(server: Server, store: S3Store) -> None:
    for offset, length in ((0, 1), (1, 16_384), (5, 16_385), (70_000, 2_000_000), (0, len(CONTENT)), (len(CONTENT) - 1, 1)):
        assert store.get_range("key", offset, length) == CONTENT[offset : offset + length]
    assert server.connections == 1


def test_ranges_side_by_side_do_not_mix(server: Server, store: S3Store) -> None:
    offsets = [n * 31_337 for n in range(40)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda offset: store.get_range("key", offset, 500_000), offsets))
    assert found == [CONTENT[offset : offset + 500_000] for offset in offsets]
    assert server.connections <= 8


def test_a_range_left_before_its_end_costs_its_connection_and_no_more(server: Server, store: S3Store) -> None:
    room = memoryview(bytearray(10))
    with store.open_range("key", 0, len(CONTENT)) as body:
        assert body.readinto(room) == 10
    assert store.get_range("key", 7, 10) == CONTENT[7:17]
    assert server.connections == 2


def test_a_connection_that_the_server_closed_meanwhile_is_not_used(server: Server, store: S3Store) -> None:
    def last(handler: _Handler) -> bool:
        handler.close_connection = True
        return False

    server.spoil = last
    for _ in range(3):
        assert store.get_range("key", 7, 10) == CONTENT[7:17]


def test_a_body_that_ends_too_early_is_no_body(server: Server, store: S3Store) -> None:
    def cut(handler: _Handler) -> bool:
        handler.answer(206, CONTENT[:1_000_000], len(CONTENT))
        return handler.hang_up()

    server.spoil = cut
    with pytest.raises(StoreUnavailable):
        store.get_range("key", 0, len(CONTENT))
    server.spoil = lambda handler: False
    assert store.get_range("key", 0, len(CONTENT)) == CONTENT


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [(404, "NoSuchKey", NotFoundError), (403, "AccessDenied", StoreRefused), (503, "SlowDown", SlowDown)],
)
def test_a_refusal_is_told_as_ever(server: Server, store: S3Store, status: int, code: str, error: type[Exception]) -> None:
    server.spoil = lambda handler: handler.refuse(status, code)
    with pytest.raises(error):
        store.get_range("key", 0, 1)
    server.spoil = lambda handler: False
    assert store.get_range("key", 7, 10) == CONTENT[7:17]


def test_what_fails_here_is_done_by_botocore(server: Server, store: S3Store) -> None:
    seen: list[str] = []

    def first_only(handler: _Handler) -> bool:
        seen.append(handler.path)
        return len(seen) == 1 and handler.hang_up()

    server.spoil = first_only
    for _ in range(3):
        assert store.get_range("key", 7, 10) == CONTENT[7:17]
    assert len(seen) == 4
    assert server.connections == 2, "the second is botocore's, and goes on being used"


def test_after_a_while_it_is_tried_here_again(server: Server, store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downlink, "PASSED", 2)
    test_what_fails_here_is_done_by_botocore(server, store)
    assert store.get_range("key", 7, 10) == CONTENT[7:17]
    assert server.connections == 3


def test_a_server_that_nobody_vouches_for_is_refused(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").mkdir()
    make_certificates(tmp_path / "other")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "other" / "ca.pem"))
    with server.store() as store, pytest.raises(StoreRefused, match="CERTIFICATE_VERIFY_FAILED"):
        store.get_range("key", 0, 1)


def test_behind_a_proxy_everything_is_botocores(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with server.store() as store, pytest.raises(StoreUnavailable):
        store.get_range("key", 0, 1)
    assert server.connections == 0
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with server.store() as store:
        assert store.get_range("key", 0, 1) == CONTENT[:1]
