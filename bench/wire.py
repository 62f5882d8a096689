"""A TCP relay that counts: what crosses the wire, headers and all, whoever sends it and however."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from urllib.parse import urlsplit

ROOM = 1 << 20


class Wire:
    """`sent`: bytes from the clients to the server since the start."""

    def __init__(self, endpoint: str) -> None:
        url = urlsplit(endpoint)
        self._upstream = (url.hostname, url.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.sent = 0

    def serve(self) -> None:
        """Until `close`."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._upstream)
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
            threading.Thread(target=self._up, args=(client, server), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client), daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for one in self._open:
                one.close()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        self._pass(client, server, count=True)

    def _pass(self, source: socket.socket, target: socket.socket, *, count: bool = False) -> None:
        room = memoryview(bytearray(ROOM))
        with suppress(OSError):  # either side has gone
            while got := source.recv_into(room):
                target.sendall(room[:got])
                if count:
                    with self._lock:
                        self.sent += got
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


@contextmanager
def wire(endpoint: str) -> Iterator[Wire]:
    with closing(Wire(endpoint)) as relay:
        threading.Thread(target=relay.serve, daemon=True).start()
        yield relay
