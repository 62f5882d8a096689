"""A registry that serves one image, refuses another, and knows no third: enough of the OCI distribution specification to pull."""

from __future__ import annotations

import hashlib
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.containers.podman import Engine

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar"


class Registry:
    """`secret` is the name that nobody may pull; `open` is set to let blobs go."""

    def __init__(self, port: int, manifest: bytes, blobs: dict[str, bytes]) -> None:
        self.port = port
        self.manifest = manifest
        self.blobs = blobs
        self.open = threading.Event()

    def image(self, name: str) -> str:
        return f"127.0.0.1:{self.port}/{name}:1"


@contextmanager
def registry(docker: Engine, image: str, folder: Path) -> Iterator[Registry]:
    manifest, blobs = _packed(docker, image, folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    found = Registry(server.server_address[1], manifest, blobs)
    server.registry = found  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield found
    finally:
        found.open.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        registry: Registry = self.server.registry  # type: ignore[attr-defined]
        if "/secret/" in self.path:
            self._answer(401, b'{"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}', "application/json")
        elif self.path == "/v2/":
            self._answer(200, b"{}", "application/json")
        elif self.path.startswith("/v2/known/manifests/"):
            self._answer(200, registry.manifest, _MANIFEST)
        elif (digest := self.path.rpartition("/")[2]) in registry.blobs:
            registry.open.wait(120)
            self._answer(200, registry.blobs[digest], "application/octet-stream")
        else:
            self._answer(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}', "application/json")

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Nobody reads it."""


def _packed(docker: Engine, image: str, folder: Path) -> tuple[bytes, dict[str, bytes]]:
    """The image's manifest, and its blobs by digest."""
    docker.docker("save", "-o", str(folder / "image.tar"), image)
    with tarfile.open(folder / "image.tar") as tar:

        def read(name: str) -> bytes:
            file = tar.extractfile(name)
            assert file is not None
            return file.read()

        (listed,) = json.loads(read("manifest.json"))
        config, layers = read(listed["Config"]), [read(name) for name in listed["Layers"]]
    blobs = {f"sha256:{hashlib.sha256(blob).hexdigest()}": blob for blob in (config, *layers)}
    of_config, *of_layers = (
        {"mediaType": kind, "size": len(blob), "digest": f"sha256:{hashlib.sha256(blob).hexdigest()}"}
        for kind, blob in ((_CONFIG, config), *((_LAYER, layer) for layer in layers))
    )
    manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": of_config, "layers": of_layers}
    return json.dumps(manifest).encode(), blobs
