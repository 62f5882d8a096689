"""Connections to one server, each for one PUT at a time: a body in memory goes into the socket as it lies there."""

from __future__ import annotations

import select
import socket
import ssl
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

OK = 200
END = b"\r\n\r\n"
LONGEST = 65536
"""Bytes of an answer's head."""
RECEIVED = 8192
LUMP = 1024**2
"""Bytes that are sent in one call, which has the whole timeout for itself: a line may be slow, and the body large."""
CLOSED = select.POLLIN | select.POLLHUP | select.POLLERR


@dataclass(frozen=True, slots=True)
class Server:
    """`tls` is None for plain HTTP. Timeouts in seconds."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    connect_timeout: float
    read_timeout: float


class Answer(NamedTuple):
    """`headers` by their names in lower case. The body is left out: who needs it asks by botocore."""

    status: int
    headers: Mapping[str, str]


class Wire:
    """Used from several tasks. Everything raises OSError, or ValueError at what is no HTTP; a connection that did is closed."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._idle: deque[socket.socket] = deque()

    def put(self, target: str, headers: Mapping[str, str], body: Iterable[memoryview]) -> Answer:
        """Send one request; `target` and `headers`, Host and Content-Length among them, as they are to be on the wire."""
        lines = [f"PUT {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        connection = self._connection()
        try:
            connection.sendall("\r\n".join(lines).encode("latin-1"))
            for piece in body:
                for begin in range(0, len(piece), LUMP):
                    connection.sendall(piece[begin : begin + LUMP])
            answer, again = _answer(connection)
        except BaseException:
            connection.close()
            raise
        if again:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    def close(self) -> None:
        """The idle connections; those in use go back and stay."""
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def _connection(self) -> socket.socket:
        with suppress(IndexError):
            while True:
                idle = self._idle.pop()
                if not _ended(idle):
                    return idle
                idle.close()
        return self._open()

    def _open(self) -> socket.socket:
        server = self._server
        plain = socket.create_connection((server.host, server.port), server.connect_timeout)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            opened = plain if server.tls is None else server.tls.wrap_socket(plain, server_hostname=server.host)
            opened.settimeout(server.read_timeout)
        except BaseException:
            plain.close()
            raise
        return opened


def _ended(idle: socket.socket) -> bool:
    """Whether the server has closed it, or says what nobody asked for."""
    poll = select.poll()
    poll.register(idle, CLOSED)
    return bool(poll.poll(0))


def _answer(connection: socket.socket) -> tuple[Answer, bool]:
    """The answer, and whether another request may follow on this connection. Raises OSError where there is none."""
    head = b""
    while (end := head.find(END)) < 0:
        piece = connection.recv(RECEIVED)
        if not piece or len(head) > LONGEST:
            raise ConnectionAbortedError("no answer of HTTP came")
        head += piece
    first, *lines = head[:end].decode("latin-1").split("\r\n")
    version, _, status = first.partition(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    answer = Answer(int(status[:3]), headers)
    left = int(headers.get("content-length", -1)) - (len(head) - end - len(END))
    again = answer.status == OK and version == "HTTP/1.1" and left >= 0 and headers.get("connection", "").lower() != "close"
    while again and left:
        piece = connection.recv(min(left, RECEIVED))
        again = bool(piece)
        left -= len(piece)
    return answer, again
