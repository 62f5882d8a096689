"""A line so slow that a part takes longer than any timeout: as long as something moves, it is sent, and once."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
import urllib3.util.connection

from runctl_agent.store import client, direct
from runctl_agent.store.crc import crc32
from runctl_agent.store.s3 import S3Store

TIMEOUT = 1.0
RATE = 2 * 1024**2
BODY = bytes(range(256)) * 16384  # 4 MiB: twice what goes through in a timeout
BUFFER = 64 * 1024

Received = list[tuple[bytes, int]]


def _serve(connection: socket.socket, received: Received) -> None:
    with connection, connection.makefile("rb") as stream:
        while stream.readline():
            headers = dict(line.rstrip().lower().split(b": ", 1) for line in iter(stream.readline, b"\r\n"))
            left, checksum, free_at = int(headers[b"content-length"]), 0, time.monotonic()
            while left:
                piece = stream.read(min(left, BUFFER))
                if not piece:
                    return
                left, checksum, free_at = left - len(piece), crc32(piece, checksum), free_at + len(piece) / RATE
                time.sleep(max(0.0, free_at - time.monotonic()))  # this is the line
            received.append((headers[b"user-agent"].split(b"/")[0], checksum))
            connection.sendall(b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 0\r\n\r\n')


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> Iterator[Received]:
    """What arrives at a store on such a line: who sent it, and its CRC-32."""
    got: Received = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=_serve, args=(connection, got), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{listening.getsockname()[1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        yield got
        listening.shutdown(socket.SHUT_RDWR)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short timeouts, and little that the kernel takes at once."""

    def small(create: Callable[..., socket.socket]) -> Callable[..., socket.socket]:
        def created(*args: object, **options: object) -> socket.socket:
            connection = create(*args, **options)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
            return connection

        return created

    monkeypatch.setattr(client, "CONNECT_TIMEOUT", TIMEOUT)
    monkeypatch.setattr(direct, "READ_TIMEOUT", TIMEOUT)
    monkeypatch.setattr(urllib3.util.connection, "create_connection", small(urllib3.util.connection.create_connection))
    monkeypatch.setattr(socket, "create_connection", small(socket.create_connection))


def test_a_part_gets_through_on_either_way_and_once(received: Received) -> None:
    crc = crc32(BODY)
    with closing(S3Store("bucket", region="us-east-1")) as store:
        for number in (1, 2):  # the first goes by botocore, the next on the short way
            assert store.put_part("data/a", "upload", number, memoryview(BODY), crc) == '"e"'
    assert received == [(b"botocore", crc), (b"runctl-agent", crc)]
