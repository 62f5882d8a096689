"""The faults of `proxy.py`, inside mitmdump (`mitmdump -s`): every request is looked up in a list of rules and noted in a log.

Told over the proxy's own port: POST /-/rules replaces the rules and lets go of what hangs, GET /-/log tells what came.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from mitmproxy import ctx, http

CONTROL = "/-/"
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that sends RST instead of FIN (socket(7))."""


class Wire:
    """A rule: `does` what to which `operation`, for keys that contain `key`, after `skip` and for `times` of them."""

    def __init__(self) -> None:
        self.rules: list[dict[str, Any]] = []
        self.log: list[dict[str, Any]] = []
        self.freed = asyncio.Event()

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        if flow.request.path.startswith(CONTROL):
            return
        note = _described(flow.request)
        rule = self._rule(note)
        note["did"] = rule["does"] if rule else ""
        flow.metadata["note"], flow.metadata["rule"] = note, rule
        self.log.append(note)
        if rule is None:
            flow.request.stream = _counting(note)
        elif rule["does"] == "reset":
            flow.request.stream = _counting(note, rule["after"], lambda: _cut(flow))

    async def request(self, flow: http.HTTPFlow) -> None:
        if flow.request.path.startswith(CONTROL):
            flow.response = self._told(flow.request)
            return
        note, rule = flow.metadata["note"], flow.metadata["rule"]
        if rule is None or rule["does"] == "reset":
            return
        note["bytes"] = len(flow.request.raw_content or b"")
        if rule["does"] == "answer":
            body = b"" if flow.request.method == "HEAD" else rule["body"].encode()
            flow.response = http.Response.make(rule["status"], body, rule["headers"])
        elif rule["does"] == "hang":
            await self.freed.wait()
            _cut(flow)
        elif rule["does"] == "hold":
            await self.freed.wait()
        elif rule["does"] == "corrupt request":
            flow.request.raw_content = _flipped(flow.request.raw_content or b"")

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        rule = flow.metadata.get("rule")
        if rule is not None and rule["does"] == "reset response" and flow.response is not None:
            flow.response.stream = _counting({"bytes": 0}, rule["after"], lambda: _cut(flow))

    async def response(self, flow: http.HTTPFlow) -> None:
        note, rule = flow.metadata.get("note"), flow.metadata.get("rule")
        if note is None or flow.response is None:
            return
        note["status"] = flow.response.status_code
        if rule is None:
            return
        if rule["does"] == "answer after":
            flow.response = http.Response.make(rule["status"], rule["body"].encode(), rule["headers"])
        elif rule["does"] == "lose":
            _cut(flow)
        elif rule["does"] == "hang after":
            await self.freed.wait()
            _cut(flow)
        elif rule["does"] == "corrupt response":
            flow.response.raw_content = _flipped(flow.response.raw_content or b"")

    def _rule(self, note: dict[str, Any]) -> dict[str, Any] | None:
        for rule in self.rules:
            if rule["operation"] not in ("", note["operation"]) or rule["key"] not in note["key"] or not rule["times"]:
                continue
            if rule["skip"]:
                rule["skip"] -= 1
                continue
            rule["times"] -= 1
            return rule
        return None

    def _told(self, request: http.Request) -> http.Response:
        if request.path == f"{CONTROL}log":
            return http.Response.make(200, json.dumps(self.log))
        told = json.loads(request.content or b"{}")
        self.rules = told["rules"]
        if told["anew"]:
            self.log = []
        self.freed.set()
        self.freed = asyncio.Event()
        return http.Response.make(200)


def _described(request: http.Request) -> dict[str, Any]:
    url = urlsplit(request.path)
    query = parse_qs(url.query, keep_blank_values=True)
    operation = _operation(request.method, query, request.headers)
    part = int(query["partNumber"][0]) if "partNumber" in query else None
    return {"key": url.path, "operation": operation, "part": part, "bytes": 0, "status": 0}


def _operation(method: str, query: dict[str, list[str]], headers: http.Headers) -> str:
    if method == "PUT" and "partNumber" in query:
        return "UploadPartCopy" if "x-amz-copy-source" in headers else "UploadPart"
    if "uploads" in query and method == "POST":
        return "CreateMultipartUpload"
    if "uploadId" in query:
        return {"POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload", "GET": "ListParts"}[method]
    if "list-type" in query:
        return "ListObjectsV2"
    return {"PUT": "PutObject", "GET": "GetObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}.get(method, method)


def _counting(
    note: dict[str, Any], limit: int | None = None, then: Callable[[], None] = lambda: None
) -> Callable[[bytes], bytes]:
    """Pass the body on as it comes, and count it; at `limit` bytes do `then`."""

    def chunk(data: bytes) -> bytes:
        before, note["bytes"] = note["bytes"], note["bytes"] + len(data)
        if limit is not None and before < limit <= note["bytes"]:
            then()
        return data

    return chunk


def _flipped(body: bytes) -> bytes:
    """One bit in the middle."""
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :] if body else b"\0"


def _cut(flow: http.HTTPFlow) -> None:
    """Reset the client's connection; mitmproxy itself can only close it."""
    proxyserver: Any = ctx.master.addons.get("proxyserver")  # type: ignore[no-untyped-call]
    for handler in proxyserver.connections.values():
        transport = handler.transports.get(flow.client_conn)
        if transport is not None and transport.writer is not None:
            transport.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            transport.writer.transport.abort()
    if flow.killable:
        flow.kill()  # type: ignore[no-untyped-call]


addons = [Wire()]
