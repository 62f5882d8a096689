"""HTTP/1.1 and as much of S3 as the clients of the benchmarks speak."""

from __future__ import annotations

import base64
import mmap
import socket
import ssl
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from bench.sink_state import BUCKET, Known, State

KEPT = 1 << 20
"""Bytes: a body up to this is kept, a larger one thrown away."""
ROOM = 1 << 18
RECORD = 1 << 14
"""What TLS gives at once (RFC 8446, section 5.1)."""
LINE = 1 << 16


class Link:
    """A connection's bytes, by the line or thrown away.

    Through buffers of OpenSSL's instead of its socket: a quarter of a mebibyte with each call to the system, not 5 bytes and
    then 16 KiB; a sixth of the CPU less.
    """

    def __init__(self, accepted: socket.socket, context: ssl.SSLContext) -> None:
        self._accepted = accepted
        self._coming, self._going = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._secured = context.wrap_bio(self._coming, self._going, server_side=True)
        self._raw = memoryview(bytearray(ROOM))
        self._room = memoryview(bytearray(RECORD))
        self._held = b""
        self._shake_hands()

    def _shake_hands(self) -> None:
        while True:
            try:
                self._secured.do_handshake()
                return
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
            finally:
                self._flush()

    def _fill(self) -> None:
        count = self._accepted.recv_into(self._raw)
        if not count:
            raise EOFError
        self._coming.write(self._raw[:count])

    def _flush(self) -> None:
        if self._going.pending:
            self._accepted.sendall(self._going.read())

    def _some(self, most: int = 1 << 14) -> int:
        """Bytes of one record at most, into the room. The loop is what the sink costs."""
        while True:
            try:
                count = self._secured.read(min(most, RECORD), self._room)
            except ssl.SSLWantReadError:
                self._fill()
            else:
                if not count:
                    raise EOFError
                return int(count)

    def until(self, mark: bytes) -> bytes:
        """What comes before `mark`, which is taken as well. Raises EOFError where the client has gone."""
        while mark not in self._held:
            if len(self._held) > LINE:
                raise EOFError
            self._held += self._room[: self._some()]
        taken, _, self._held = self._held.partition(mark)
        return taken

    def exactly(self, size: int) -> bytes:
        while len(self._held) < size:
            self._held += self._room[: self._some()]
        taken, self._held = self._held[:size], self._held[size:]
        return taken

    def skip(self, size: int) -> None:
        """Throw away."""
        held = min(size, len(self._held))
        self._held = self._held[held:]
        left = size - held
        while left:
            left -= self._some(left)

    def send(self, data: bytes | memoryview) -> None:
        for begin in range(0, len(data), ROOM):
            self._secured.write(data[begin : begin + ROOM])
            self._flush()


@dataclass(frozen=True)
class Request:
    method: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """By their names in lower case."""
    size: int
    """Of the body, in bytes, without what chunking adds."""
    body: bytes
    """Empty where it was thrown away."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] | None = None
    path: str = ""
    """Send `length` bytes of this file from `offset` instead of `body`."""
    offset: int = 0
    length: int = 0


class Connection:
    """The requests of one connection, one after the other."""

    def __init__(self, link: Link, state: State) -> None:
        self._link = link
        self._state = state

    def run(self) -> None:
        """Until the client goes: then EOFError."""
        while True:
            request = self._read()
            self._answer(request, self._handler(request)(request))

    def _read(self) -> Request:
        first, *lines = self._link.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        url = urlsplit(target)
        bucket, _, key = unquote(url.path).lstrip("/").partition("/")
        if bucket != BUCKET:
            key = ""
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        if headers.get("expect", "").lower() == "100-continue":
            self._link.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in headers.get("transfer-encoding", "").lower():
            size, body = self._chunks(), b""
        else:
            size, body = int(headers.get("content-length") or 0), b""
            if size <= KEPT:
                body = self._link.exactly(size)
            else:
                self._link.skip(size)
        size = int(headers.get("x-amz-decoded-content-length") or size)
        return Request(method, key, query, headers, size, body)

    def _chunks(self) -> int:
        """Thrown away, whatever their size."""
        whole = 0
        while size := int(self._link.until(b"\r\n").split(b";")[0], 16):
            self._link.skip(size)
            self._link.until(b"\r\n")
            whole += size
        while self._link.until(b"\r\n"):
            pass
        return whole

    def _answer(self, request: Request, answer: Answer) -> None:
        length = answer.length if answer.path else len(answer.body)
        headers = {"Content-Length": str(length), "x-amz-request-id": uuid.uuid4().hex[:16], "Date": formatdate(usegmt=True)}
        headers.update(answer.headers or {})
        head = f"HTTP/1.1 {answer.status} S3\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
        if request.method == "HEAD":
            self._link.send(head.encode())
        elif answer.path and answer.length:
            self._link.send(head.encode())
            end = answer.offset + answer.length
            with (
                open(answer.path, "rb") as file,
                mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped,
                memoryview(mapped) as view,
                view[answer.offset : end] as piece,
            ):
                self._link.send(piece)
        else:
            self._link.send(head.encode() + answer.body)

    def _handler(self, request: Request) -> Callable[[Request], Answer]:
        query = request.query
        if not request.key:
            return self._list if request.method == "GET" else lambda request: Answer(200)
        multipart = {"PUT": self._put_part, "GET": self._list_parts, "POST": self._complete, "DELETE": self._abort}
        if "uploadId" in query:
            return multipart[request.method]
        if "uploads" in query:
            return self._begin
        return {"PUT": self._put, "GET": self._get, "HEAD": self._head, "DELETE": self._delete}[request.method]

    # --- objects ---

    def _put(self, request: Request) -> Answer:
        with self._state.alone():
            standing = self._state.get(request.key)
            wanted = request.headers.get("if-match")
            if (standing and request.headers.get("if-none-match")) or (wanted and (not standing or standing.etag != wanted)):
                return _error(412, "PreconditionFailed")
            etag = _new_etag()
            path = self._state.keep(request.body) if request.body else ""
            self._state.put(Known(request.key, request.size, etag, _crc(request), path))
        return Answer(200, headers={"ETag": etag})

    def _get(self, request: Request) -> Answer:
        known = self._state.get(request.key)
        if known is None:
            return _error(404, "NoSuchKey")
        if known.size and not known.path:
            return _error(501, "NotImplemented")
        headers = self._described(known)
        first, last, status = 0, known.size - 1, 200
        if (asked := request.headers.get("range", "")).startswith("bytes="):
            begin, _, end = asked.removeprefix("bytes=").partition("-")
            first, last, status = int(begin), min(int(end or last), last), 206
            if first >= known.size:
                return _error(416, "InvalidRange")
            headers = {name: value for name, value in headers.items() if "checksum" not in name}  # it is the whole object's
            headers["Content-Range"] = f"bytes {first}-{last}/{known.size}"
        return Answer(status, headers=headers, path=known.path, offset=first, length=last + 1 - first)

    def _head(self, request: Request) -> Answer:
        known = self._state.get(request.key)
        if known is None:
            return Answer(404)
        return Answer(200, headers=self._described(known) | {"Content-Length": str(known.size)})

    def _described(self, known: Known) -> dict[str, str]:
        headers = {"ETag": known.etag, "Last-Modified": formatdate(usegmt=True), "Accept-Ranges": "bytes"}
        headers["Content-Type"] = "application/octet-stream"
        if known.crc is not None:
            headers["x-amz-checksum-crc32"] = base64.b64encode(known.crc.to_bytes(4, "big")).decode()
            headers["x-amz-checksum-type"] = "FULL_OBJECT"
        return headers

    def _delete(self, request: Request) -> Answer:
        self._state.delete(request.key)
        return Answer(204)

    def _list(self, request: Request) -> Answer:
        if "list-type" not in request.query:
            return Answer(200, b"<LocationConstraint></LocationConstraint>")
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        found = "".join(
            f"<Contents><Key>{escape(known.key)}</Key><Size>{known.size}</Size><ETag>{escape(known.etag)}</ETag>"
            f"<LastModified>{now}</LastModified></Contents>"
            for known in self._state.below(request.query.get("prefix", ""))
        )
        return _xml("ListBucketResult", f"<Name>{BUCKET}</Name><IsTruncated>false</IsTruncated>{found}")

    # --- multipart uploads ---

    def _begin(self, request: Request) -> Answer:
        upload = f"<UploadId>{self._state.begin()}</UploadId>"
        return _xml("InitiateMultipartUploadResult", f"<Bucket>{BUCKET}</Bucket><Key>{escape(request.key)}</Key>{upload}")

    def _put_part(self, request: Request) -> Answer:
        upload, etag = request.query["uploadId"], _new_etag()
        if not self._state.is_open(upload):
            return _error(404, "NoSuchUpload")
        self._state.part(upload, int(request.query["partNumber"]), request.size, etag)
        return Answer(200, headers={"ETag": etag})

    def _list_parts(self, request: Request) -> Answer:
        upload = request.query["uploadId"]
        if not self._state.is_open(upload):
            return _error(404, "NoSuchUpload")
        found = "".join(
            f"<Part><PartNumber>{number}</PartNumber><Size>{size}</Size><ETag>{escape(etag)}</ETag></Part>"
            for number, size, etag in self._state.parts(upload)
        )
        return _xml("ListPartsResult", f"<IsTruncated>false</IsTruncated>{found}")

    def _complete(self, request: Request) -> Answer:
        upload = request.query["uploadId"]
        if not self._state.is_open(upload):
            return _error(404, "NoSuchUpload")
        parts = self._state.parts(upload)
        etag = f'"{uuid.uuid4().hex}-{len(parts)}"'
        self._state.put(Known(request.key, sum(size for _, size, _ in parts), etag, _crc(request)))
        self._state.end(upload)
        named = f"<Bucket>{BUCKET}</Bucket><Key>{escape(request.key)}</Key><ETag>{escape(etag)}</ETag>"
        return _xml("CompleteMultipartUploadResult", named)

    def _abort(self, request: Request) -> Answer:
        if self._state.is_open(request.query["uploadId"]):
            self._state.end(request.query["uploadId"])
        return Answer(204)


def _new_etag() -> str:
    """Not 32 digits alone: a client would take it for the MD5 of what it sent."""
    return f'"{uuid.uuid4().hex}-0"'


def _crc(request: Request) -> int | None:
    value = base64.b64decode(request.headers.get("x-amz-checksum-crc32", ""))
    return int.from_bytes(value, "big") if len(value) == 4 else None


def _error(status: int, code: str) -> Answer:
    return _xml("Error", f"<Code>{code}</Code><Message>said the sink</Message>", status)


def _xml(name: str, inside: str, status: int = 200) -> Answer:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inside}</{name}>'
    if name == "Error":
        text = f"<Error>{inside}</Error>"
    return Answer(status, text.encode(), {"Content-Type": "application/xml"})
