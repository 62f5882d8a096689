"""A gate before a real S3: it records every request, and can hold some back until they are let through or cut off."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from tests.e2e.seaweed import S3

HOP_BY_HOP = frozenset({"connection", "expect", "keep-alive", "transfer-encoding", "content-length"})


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    part: int | None  # of UploadPart
    size: int
    at: float  # monotonic seconds; when its first line came, before its body
    body: bytes = b""  # of a POST
    range: tuple[int, int] | None = None  # first byte and length, of a GET that asks for a part of an object

    @property
    def is_data(self) -> bool:
        """Whether it carries bytes of a checkpoint."""
        return self.method == "PUT" and "/data/" in self.path


class Gate(ThreadingHTTPServer):
    """`passed`: every request that reached the server, once it has answered."""

    daemon_threads = True
    upstream: str

    def __init__(self, s3: S3) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(s3.endpoint).netloc
        self.s3 = replace(s3, endpoint=f"http://127.0.0.1:{self.server_address[1]}")
        self.passed: list[Request] = []
        self._change = threading.Condition()
        self._holds: Callable[[Request], bool] = lambda request: False
        self._cut = 0
        self.held = 0

    def hold(self, which: Callable[[Request], bool]) -> None:
        """Hold back from now on what `which` names, in the order of coming; it is asked once for each request."""
        with self._change:
            self._holds = which

    def open(self) -> None:
        """Let everything through, what is held as well."""
        self.hold(lambda request: False)
        with self._change:
            self._change.notify_all()

    def cut(self) -> None:
        """What is held now never reaches the server; what comes from now on does."""
        with self._change:
            self._cut += 1
            self._holds = lambda request: False
            self._change.notify_all()

    def data(self) -> Counter[tuple[str, int | None]]:
        """How often each part of each data object was sent, by key and part number."""
        return Counter((request.path, request.part) for request in self.passed if request.is_data)

    def admit(self, request: Request) -> bool:
        """False: the connection is cut."""
        with self._change:
            if not self._holds(request):
                return True
            holds, cut = self._holds, self._cut
            self.held += 1
            self._change.wait_for(lambda: self._holds is not holds or self._cut != cut)
            self.held -= 1
            return self._cut == cut


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gate

    def _do(self) -> None:
        at = time.monotonic()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        number = parse_qs(url.query).get("partNumber")
        part = int(number[0]) if number else None
        kept = body if self.command == "POST" else b""
        request = Request(self.command, url.path, part, len(body), at, kept, _range(self.headers.get("Range", "")))
        if not self.server.admit(request):
            self.close_connection = True
            return
        status, headers, answer = self._forward(body)
        self.server.passed.append(request)
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        length = next((value for name, value in headers if name.lower() == "content-length"), str(len(answer)))
        self.send_header("Content-Length", length if self.command == "HEAD" else str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """As it came, Host as well: it is signed."""
        connection = http.client.HTTPConnection(self.server.upstream, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _do  # noqa: N815 - http.server's names

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):  # who asked is gone
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        pass


def _range(header: str) -> tuple[int, int] | None:
    found = re.fullmatch(r"bytes=(\d+)-(\d+)", header)
    return None if found is None else (int(found[1]), int(found[2]) - int(found[1]) + 1)


@contextmanager
def gate(s3: S3) -> Iterator[Gate]:
    with Gate(s3) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.cut()
            server.shutdown()
            thread.join()
