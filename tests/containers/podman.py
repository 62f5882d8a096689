"""A container engine for the real docker client: podman's service, with all its files in a folder of its own. Needs root."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.sink import make_certificates

IMAGE = "localhost/runctl-test:1"
SHELLLESS = "localhost/runctl-no-shell:1"
TRAINER = Path(__file__).with_name("trainer.sh")

PACKAGES = ("podman", "runc", "conmon", "catatonit", "busybox-static")

CONTAINERS = """
[containers]
netns = "host"
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""

PYTHON = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done
exec /bin/sh "$@"
"""
"""What `runctl launch train.py` asks for, in an image that has a shell only."""


class Engine:
    """`host` is what DOCKER_HOST is set to; `tls` has a certificate of 127.0.0.1, and its key, that it trusts."""

    def __init__(self, host: str, folder: Path, argv: Sequence[str], environ: Mapping[str, str]) -> None:
        self.host = host
        self.tls = folder / "tls"
        self._folder = folder
        self._argv = argv
        self._environ = environ
        self._service: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """The daemon; containers live on without it."""
        with (self._folder / "service.log").open("ab") as log:
            self._service = subprocess.Popen(self._argv, env=self._environ, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + 60
        while not (self._folder / "socket").exists():
            assert self._service.poll() is None, (self._folder / "service.log").read_text()
            assert time.monotonic() < end, "podman's service does not come up"
            time.sleep(0.05)

    def stop(self) -> None:
        assert self._service is not None
        self._service.terminate()
        self._service.wait(60)
        (self._folder / "socket").unlink(missing_ok=True)

    def docker(self, *arguments: str, check: bool = True) -> str:
        environ = {**os.environ, "DOCKER_HOST": self.host, "DOCKER_BUILDKIT": "0"}
        done = subprocess.run(["docker", *arguments], env=environ, capture_output=True, text=True, check=False, timeout=120)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def names(self) -> list[str]:
        return self.docker("container", "ls", "--all", "--format", "{{.Names}}").split()


@contextmanager
def engine(folder: Path) -> Iterator[Engine]:
    """Raises AssertionError, with the reason, where it can't be had."""
    _install()
    (folder / "tls").mkdir()
    make_certificates(folder / "tls")
    (folder / "containers.conf").write_text(CONTAINERS)
    (folder / "registries.conf").write_text('[[registry]]\nlocation = "127.0.0.1"\nprefix = "127.0.0.1"\ninsecure = true\n')
    environ = {
        **os.environ,
        "CONTAINERS_CONF": str(folder / "containers.conf"),
        "CONTAINERS_REGISTRIES_CONF": str(folder / "registries.conf"),
        "SSL_CERT_FILE": str(folder / "tls" / "ca.pem"),  # a login is by TLS, whatever registries.conf says
    }
    own = ["--root", str(folder / "graph"), "--runroot", str(folder / "run"), "--tmpdir", str(folder / "tmp")]
    argv = ["podman", *own, "--storage-driver", "vfs", "system", "service", "--time", "0", f"unix://{folder}/socket"]
    found = Engine(f"unix://{folder}/socket", folder, tuple(argv), environ)
    try:
        found.start()
        _build(found, folder / "context")
        yield found
    finally:
        for name in found.names():
            found.docker("container", "rm", "--force", name, check=False)
        found.stop()
        shutil.rmtree(folder / "graph", ignore_errors=True)


def _install() -> None:
    assert os.geteuid() == 0, "these tests make containers: run `make containers` as root"
    missing = [name for name in ("podman", "runc", "conmon", "catatonit", "busybox") if shutil.which(name) is None]
    if any(name != "catatonit" or not Path("/usr/libexec/podman/catatonit").exists() for name in missing):
        assert shutil.which("apt-get"), f"{', '.join(missing)} are missing, and there is no apt-get to install them"
        _apt("update")
        _apt("install", "-y", "--no-install-recommends", *PACKAGES)
    if shutil.which("docker") is None:
        _apt("install", "-y", "--no-install-recommends", "docker.io")
    assert shutil.which("docker"), "there is no docker client: install docker-cli or docker.io"


def _apt(*arguments: str) -> None:
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(["apt-get", "-q", *arguments], env=environ, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, f"apt-get {' '.join(arguments)}: {done.stderr}"


def _build(found: Engine, context: Path) -> None:
    context.mkdir()
    shutil.copy(shutil.which("busybox") or "/bin/busybox", context / "busybox")
    (context / "python3").write_text(PYTHON)
    (context / "python3").chmod(0o755)
    links = 'RUN ["/bin/busybox", "--install", "/bin"]\n'
    (context / "Dockerfile").write_text(
        "FROM scratch\nCOPY busybox /bin/busybox\n"
        + links
        + "COPY python3 /bin/python3\nCOPY python3 /bin/python\nENV OF_IMAGE=yes\n"
    )
    found.docker("build", "-q", "-t", IMAGE, str(context))
    (context / "Dockerfile").write_text("FROM scratch\nCOPY busybox /busybox\n")
    found.docker("build", "-q", "-t", SHELLLESS, str(context))
