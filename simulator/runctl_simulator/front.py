"""The HTTP front: AWS requests go to moto's own application through the rules, paths below /runctl-simulator/ to the control."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server
from werkzeug.test import run_wsgi_app

from .ec2 import Answer
from .query import Query
from .refusal import Refused
from .wire import CONTROL

MOST = 2**20
"""Bytes of a request."""

StartResponse = Callable[[str, list[tuple[str, str]]], object]
Environ = dict[str, Any]


class Service(Protocol):
    def answer(self, query: Query) -> Answer:
        """Raises Refused."""


class Front:
    """Every request is answered under `lock`, and followed by `after`."""

    def __init__(self, lock: threading.RLock, after: Callable[[], None]) -> None:
        self._lock = lock
        self._after = after
        self._moto: Any = DomainDispatcherApplication(create_backend_app)
        self._request = threading.local()
        self._services: Mapping[str, Service] = {}

    def serve(self, services: Mapping[str, Service], control: Callable[[str, dict[str, Any]], object]) -> BaseWSGIServer:
        """Bound to a free port, not yet serving. `services` are by the name in a request's signature; moto has the others."""
        self._services = services
        self._control = control
        return make_server("127.0.0.1", 0, self, threaded=True, request_handler=_Handler)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        with self._lock:
            if path.startswith(CONTROL):
                status, headers, body = self._controlled(path.removeprefix(CONTROL), _body(environ))
            else:
                status, headers, body = self._aws(environ)
            self._after()
        start_response(f"{status} {'OK' if status < 400 else 'Error'}", [*headers, ("Content-Length", str(len(body)))])
        return [body]

    def _aws(self, environ: Environ) -> Answer:
        name = _service(environ)
        service = self._services.get(name)
        self._request.environ = environ
        if service is None:
            return self._run(environ)
        query = Query.parse(_body(environ))
        try:
            return service.answer(query)
        except Refused as refused:
            body = refused.ec2() if name == "ec2" else refused.query()
            return refused.status, [("Content-Type", "text/xml;charset=UTF-8")], body

    def ask_moto(self, query: Query) -> Answer:
        """The current request, with these parameters."""
        body = query.encode()
        changed = {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        return self._run({**self._request.environ, **changed})

    def _run(self, environ: Environ) -> Answer:
        chunks, status, headers = run_wsgi_app(self._moto, environ, buffered=True)
        body = b"".join(chunks)
        kept = [(name, value) for name, value in headers if name.lower() not in ("content-length", "connection")]
        return int(status.split()[0]), kept, body

    def _controlled(self, verb: str, body: bytes) -> Answer:
        headers = [("Content-Type", "application/json")]
        try:
            return 200, headers, json.dumps(self._control(verb, json.loads(body or b"{}"))).encode()
        except (ValueError, LookupError, TypeError) as error:
            return 400, headers, json.dumps(f"{verb}: {error}").encode()


class _Handler(MotoRequestHandler):  # type: ignore[misc]  # moto is untyped
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        pass


def _body(environ: Environ) -> bytes:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body: bytes = environ["wsgi.input"].read(min(length, MOST)) if length else b""
    return body


def _service(environ: Environ) -> str:
    """Of `Credential=KEY/DATE/REGION/SERVICE/aws4_request`: "Create a signed AWS API request" (IAM User Guide)."""
    _, _, credential = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")
    parts = credential.split(",")[0].split("/")
    return parts[3] if len(parts) >= 5 else ""
