"""The answers to GetObject over TLS, taken from the socket in large pieces.

OpenSSL asks the kernel twice for each record of 16 KiB, and each time the kernel tells the sender how much room there is:
a quarter of what a download costs. Here the socket is read in pieces of 256 KiB, from which OpenSSL decrypts (ssl.MemoryBIO).
Botocore signs, tries again and explains as ever, and what can't be done here it sends itself: the event `before-send` takes
an answer in its place, or none ("Extensibility guide", boto3).
"""

from __future__ import annotations

import http.client
import io
import select
import socket
import ssl
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.httpsession import get_cert_path
from botocore.session import get_session
from urllib3.exceptions import ProtocolError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PIECE = 256 * 1024
EVENT = "before-send.s3.GetObject"
PASSED = 100
"""Requests that are botocore's after one that came to nothing here."""

FAILURES = (OSError, http.client.HTTPException)

Address = tuple[str, int]


class Downlink:
    """For one client of botocore; used from several tasks."""

    def __init__(self, client: S3Client) -> None:
        config: Any = client.meta.config  # the stubs know none of its values
        self._timeouts = float(config.connect_timeout), float(config.read_timeout)
        self._suits = not (config.proxies or config.client_cert)
        self._idle: defaultdict[Address, deque[_Connection]] = defaultdict(deque)
        self._tls: ssl.SSLContext | None = None
        self._to_pass = 0
        client.meta.events.register(EVENT, cast("Callable[..., None]", self._send), unique_id=EVENT)

    def close(self) -> None:
        """The idle connections; those in use go back and stay."""
        for idle in list(self._idle.values()):
            with suppress(IndexError):
                while True:
                    idle.pop().close()

    def _send(self, request: AWSPreparedRequest, **_: object) -> AWSResponse | None:
        """None: botocore sends it."""
        if not (self._suits and "Range" in request.headers and _is_direct(request.url)):
            return None
        if self._to_pass:
            self._to_pass -= 1
            return None
        try:
            return self._answer(request)
        except (*FAILURES, ValueError):  # botocore meets the same, and knows what to do about it; or it does better
            self._to_pass = PASSED
            return None

    def _answer(self, request: AWSPreparedRequest) -> AWSResponse:
        url = urlsplit(request.url)
        address = url.hostname or "", url.port or 443
        target = url._replace(scheme="", netloc="").geturl()
        headers = {name: _text(value) for name, value in request.headers.items()}
        connection = self._connection(address)
        try:
            connection.request("GET", target, headers=headers)
            response = connection.getresponse()
        except BaseException:
            connection.close()
            raise
        body = _Body(response, lambda again: self._back(address, connection, again=again))
        return AWSResponse(request.url, response.status, cast("Any", dict(response.getheaders())), body)

    def _connection(self, address: Address) -> _Connection:
        with suppress(IndexError):
            while True:
                idle = self._idle[address].pop()
                if idle.is_quiet():
                    return idle
                idle.close()
        if self._tls is None:
            # It trusts whom botocore trusts.
            self._tls = ssl.create_default_context(cafile=get_cert_path(get_session().get_config_variable("ca_bundle") or True))
        return _Connection(address, self._tls, self._timeouts)

    def _back(self, address: Address, connection: _Connection, *, again: bool) -> None:
        if again:
            self._idle[address].append(connection)
        else:
            connection.close()


def _is_direct(url: str) -> bool:
    """Over TLS, and not by a proxy of the environment."""
    parts = urlsplit(url)
    return parts.scheme == "https" and not ("https" in getproxies() and not proxy_bypass(parts.netloc))


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


class _Connection(http.client.HTTPConnection):
    """Opened by its first request. Everything raises OSError or HTTPException."""

    def __init__(self, address: Address, tls: ssl.SSLContext, timeouts: tuple[float, float]) -> None:
        super().__init__(*address, timeout=timeouts[0])
        self.default_port = 443  # what Host leaves out
        self._tls = tls
        self._read_timeout = timeouts[1]
        self._plain: socket.socket | None = None

    def connect(self) -> None:
        super().connect()
        plain: socket.socket = self.sock
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        try:
            secured = _Secured(plain, self._tls, self.host)
        except BaseException:
            plain.close()
            raise
        plain.settimeout(self._read_timeout)
        self._plain, self.sock = plain, secured

    def is_quiet(self) -> bool:
        """Whether the server has neither closed it nor said what nobody asked for."""
        if self._plain is None or self.sock is None:
            return False
        poll = select.poll()
        poll.register(self._plain, select.POLLIN)
        return not poll.poll(0)


class _Secured:
    """As much of a socket as http.client asks for."""

    def __init__(self, plain: socket.socket, tls: ssl.SSLContext, host: str) -> None:
        self._plain = plain
        self._room = memoryview(bytearray(PIECE))
        self._arrived, self._leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = tls.wrap_bio(self._arrived, self._leaving, server_hostname=host)
        while not self._done(self._tls.do_handshake):
            self._take()
        self._flush()

    def sendall(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[self._tls.write(left) :]
        self._flush()

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self.recv_into))

    def close(self) -> None:
        self._plain.close()

    def recv_into(self, view: memoryview) -> int:
        """As much as has arrived; 0 at the end."""
        read = cast("Callable[[int, memoryview], int]", self._tls.read)  # the stubs know of no other buffer than a bytearray
        size, count = len(view), 0
        while count < size:
            try:
                more = read(size - count, view[count:])
            except ssl.SSLWantReadError:
                if count:
                    break
                self._take()
            except ssl.SSLEOFError:  # without a goodbye: http.client knows whether it was enough
                break
            else:
                if not more:
                    break
                count += more
        if self._leaving.pending:
            self._flush()
        return count

    def _done(self, step: Callable[[], None]) -> bool:
        try:
            step()
        except ssl.SSLWantReadError:
            return False
        return True

    def _take(self) -> None:
        self._flush()
        count = self._plain.recv_into(self._room)
        if count:
            self._arrived.write(self._room[:count])
        else:
            self._arrived.write_eof()

    def _flush(self) -> None:
        if data := self._leaving.read():
            self._plain.sendall(data)


class _Reader(io.RawIOBase):
    def __init__(self, recv_into: Callable[[memoryview], int]) -> None:
        self._recv_into = recv_into

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # a BufferedReader gives nothing else
        return self._recv_into(buffer)


class _Body:
    """The body of an answer, as botocore asks for it; `back` is told once, and whether the connection is good for another."""

    def __init__(self, response: http.client.HTTPResponse, back: Callable[[bool], None]) -> None:
        self._response = response
        self._back: Callable[[bool], None] | None = back
        self._end_if_read()

    def readinto(self, buffer: memoryview) -> int:
        with _broken():
            count = self._response.readinto(buffer)
        self._end_if_read()
        return count

    def read(self, amt: int | None = None) -> bytes:
        with _broken():
            data = self._response.read(amt)
        self._end_if_read()
        return data

    def stream(self) -> Iterator[bytes]:
        """What botocore reads of a refusal."""
        yield self.read()

    def close(self) -> None:
        self._end(again=False)

    def _end_if_read(self) -> None:
        if self._response.isclosed():
            self._end(again=not self._response.will_close)

    def _end(self, *, again: bool) -> None:
        back, self._back = self._back, None
        if back is not None:
            self._response.close()
            back(again)


@contextmanager
def _broken() -> Iterator[None]:
    """In the terms of urllib3, which botocore knows."""
    try:
        yield
    except http.client.HTTPException as error:
        raise ProtocolError(f"the connection broke: {error!r}", error) from error
