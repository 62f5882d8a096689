"""An S3 that gives every request one answer: for errors that no real server at hand can be brought to give."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REQUEST_ID = "4442587FB7D0A2F9"


def s3_error(code: str, message: str, **more: str) -> bytes:
    """The body of an error, as "Error responses" of the Amazon S3 API Reference gives it."""
    fields = {"Code": code, "Message": message, **more, "RequestId": REQUEST_ID}
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inside}</Error>'.encode()


@dataclass
class Answer:
    """`times`: how many requests get it; the ones after them get an empty 200. `cut_short`: the connection ends too early."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int = 1_000_000
    cut_short: bool = False


class Answering(ThreadingHTTPServer):
    """`requests` it got: method, path and Authorization. `answer` may be changed between them."""

    answer: Answer
    requests: list[tuple[str, str, str]]

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Answering

    def _do(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.command, self.path, self.headers.get("Authorization", "")))
        answer = self.server.answer if len(self.server.requests) <= self.server.answer.times else Answer(200)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("ETag", '"etag"')
        self.send_header("x-amz-request-id", REQUEST_ID)
        self.send_header("Content-Length", str(len(answer.body) + answer.cut_short))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
        self.close_connection = self.close_connection or answer.cut_short

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _do  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        pass


@contextmanager
def answering(answer: Answer) -> Iterator[Answering]:
    with Answering(("127.0.0.1", 0), _Handler) as server:
        server.answer, server.requests = answer, []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
