"""Between a command and EC2: an answer to RunInstances is held back, or lost."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Between(ThreadingHTTPServer):
    """`launched` is set once EC2 has answered a RunInstances that is no dry run; its answer waits for `go`, or is `lost`."""

    daemon_threads = True

    def __init__(self, endpoint: str, *, lost: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.to = urlsplit(endpoint)
        self.lost = lost
        self.launched = threading.Event()
        self.go = threading.Event()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Between
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        form = parse_qs(body.decode())
        with closing(http.client.HTTPConnection(self.server.to.hostname or "", self.server.to.port)) as onward:
            onward.request("POST", self.path, body, dict(self.headers.items()))
            answer = onward.getresponse()
            content = answer.read()
        if form["Action"] == ["RunInstances"] and form.get("DryRun") != ["true"]:
            self.server.launched.set()
            if self.server.lost:
                self.close_connection = True
                return
            self.server.go.wait(60)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
        pass


@contextmanager
def between(endpoint: str, *, lost: bool = False) -> Iterator[Between]:
    server = Between(endpoint, lost=lost)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.go.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def unanswered() -> Iterator[tuple[str, threading.Event]]:
    """An endpoint where somebody listens and never says anything, and whether somebody has asked."""
    asked = threading.Event()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        held: list[socket.socket] = []

        def take() -> None:
            try:
                while True:
                    held.append(listening.accept()[0])
                    asked.set()
            except OSError:  # closed: the end
                return

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            for one in held:
                one.close()
