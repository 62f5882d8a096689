"""A registry that takes what is pushed and asks who pushes: Docker's own, from Debian's package, unpacked beside the tests'
Python; and an ECR that knows nothing but it."""

from __future__ import annotations

import base64
import json
import shutil
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from runctl_simulator.processes import die_with_parent
from runctl_simulator.seaweed import free_ports

KEPT = Path(sys.prefix) / "docker-registry"
PASSWORD = "of-nobody-at-all"
HASHED = "AWS:$2b$04$hRZbOxqP.c3lN55SosW6eO7H2VtiBVHU26zwANk5uGxULjfW3tK5y\n"
"""That of PASSWORD, as htpasswd(1) writes it with bcrypt, the only one that the registry takes."""

CONFIG = """
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {folder}/blobs}}}}
http: {{addr: "127.0.0.1:{port}", tls: {{certificate: {tls}/sink.pem, key: {tls}/sink.key}}}}
auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}
"""


@contextmanager
def distribution(folder: Path, tls: Path) -> Iterator[str]:
    """Host and port; `tls`: `Engine.tls`. Raises AssertionError, with the reason, where it can't be had."""
    (port,) = free_ports(1)
    (folder / "htpasswd").write_text(HASHED)
    (folder / "config.yml").write_text(CONFIG.format(folder=folder, port=port, tls=tls))
    with (folder / "registry.log").open("ab") as log:
        process = subprocess.Popen(
            [_program(), "serve", str(folder / "config.yml")],
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, no lock
        )
    try:
        end = time.monotonic() + 60
        while not _asks_who(port, ssl.create_default_context(cafile=str(tls / "ca.pem"))):
            assert process.poll() is None, (folder / "registry.log").read_text()
            assert time.monotonic() < end, "the registry does not come up"
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _asks_who(port: int, trusts: ssl.SSLContext) -> bool:
    try:
        urllib.request.urlopen(f"https://127.0.0.1:{port}/v2/", timeout=5, context=trusts)
    except urllib.error.HTTPError as answer:
        answer.close()
        return answer.code == 401
    except OSError:
        return False
    raise AssertionError("it asks nobody who they are")


def _program() -> str:
    if found := shutil.which("docker-registry"):
        return found
    program = KEPT / "usr" / "bin" / "docker-registry"
    if not program.exists():
        assert shutil.which("apt-get"), "docker-registry is missing, and there is no apt-get to fetch it: put it into the PATH"
        KEPT.mkdir(exist_ok=True)
        if _run("apt-get", "-q", "download", "docker-registry").returncode != 0:
            _run("apt-get", "-q", "update")
            done = _run("apt-get", "-q", "download", "docker-registry")
            assert done.returncode == 0, done.stderr
        for archive in KEPT.glob("docker-registry_*.deb"):  # installed it would start as a service
            done = _run("dpkg-deb", "-x", str(archive), str(KEPT))
            archive.unlink()
            assert done.returncode == 0, done.stderr
    return str(program)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=KEPT, capture_output=True, text=True, check=False, timeout=280)


@dataclass
class Ecr:
    """moto's names a registry of AWS's, where nothing can be pushed; this one `registry`."""

    registry: str
    password: str = PASSWORD
    repositories: list[str] = field(default_factory=list)
    endpoint: str = ""

    def answer(self, action: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if action == "GetAuthorizationToken":
            token = base64.b64encode(f"AWS:{self.password}".encode()).decode()
            return 200, {"authorizationData": [{"authorizationToken": token, "proxyEndpoint": f"https://{self.registry}"}]}
        if action == "CreateRepository":
            self.repositories.append(asked["repositoryName"])
            return 200, {"repository": {"repositoryName": asked["repositoryName"]}}
        assert action == "DescribeRepositories", action
        if not set(asked["repositoryNames"]) <= set(self.repositories):
            return 400, {"__type": "RepositoryNotFoundException", "message": "it does not exist"}
        return 200, {"repositories": []}


@contextmanager
def ecr(registry: str) -> Iterator[Ecr]:
    found = Ecr(registry)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = found.answer(self.headers["X-Amz-Target"].rpartition(".")[2], asked)
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
