"""A real S3: SeaweedFS, one server for all the processes of a test run.

The first that needs it starts a supervisor, which holds the server until nobody has the lease any more: a lock that the
kernel releases however its holders end.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from boto3.session import Session
from botocore.exceptions import BotoCoreError, ClientError
from filelock import FileLock

from runctl_agent.store.s3 import S3Store, connect

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

WEED = str(Path(sys.executable).with_name("weed"))
ROOT = Path(__file__).parents[2]
BUCKET = "ckpt"
OTHER_BUCKET = "another"
REGION = "us-east-1"
SECRET = "not-a-secret-of-anybody"
PARTS = ("master", "volume", "filer", "s3", "admin")

RIGHTS = {
    "admin": ["Admin"],
    "reader": [f"Read:{BUCKET}", f"List:{BUCKET}"],
    "lister": [f"List:{BUCKET}"],
    "stranger": [f"Read:{OTHER_BUCKET}"],
}
"""Access key to rights, as SeaweedFS writes them."""


@dataclass(frozen=True)
class S3:
    """Where one test keeps its objects: a prefix of its own in a bucket that all share."""

    endpoint: str
    prefix: str
    bucket: str = BUCKET
    access_key: str = "admin"
    secret_key: str = SECRET
    _open: ExitStack = field(default_factory=ExitStack, repr=False)

    @property
    def destination(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    @property
    def env(self) -> dict[str, str]:
        """For a process of its own."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def acting_as(self, access_key: str, secret_key: str = SECRET) -> S3:
        return replace(self, access_key=access_key, secret_key=secret_key)

    def client(self, *, region: str = REGION, attempts: int = 3) -> S3Client:
        """Closed with the fixture."""
        session = Session(aws_access_key_id=self.access_key, aws_secret_access_key=self.secret_key)
        client = connect(region, endpoint=self.endpoint, session=session, attempts=attempts)
        self._open.callback(client.close)
        return client

    def store(self, bucket: str | None = None, *, region: str = REGION, attempts: int = 3) -> S3Store:
        return S3Store(bucket or self.bucket, client=self.client(region=region, attempts=attempts))

    def close(self) -> None:
        self._open.close()


_prctl = ctypes.CDLL(None).prctl


def die_with_parent() -> None:
    """For `preexec_fn`: SIGKILL when the thread that started it ends, prctl(2) PR_SET_PDEATHSIG."""
    _prctl(1, signal.SIGKILL)


def free_ports(count: int) -> list[int]:
    with ExitStack() as sockets:
        bound = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for one in bound:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in bound]


class SeaweedFS:
    """A server of its own; `directory` is for it alone and is emptied at the end, but for the log."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.log = directory / "weed.log"
        self.ports = free_ports(2 * len(PARTS))
        self.endpoint = f"http://127.0.0.1:{self.ports[PARTS.index('s3')]}"

    def __enter__(self) -> SeaweedFS:
        self.data.mkdir(parents=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv(),
                env=self._env(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, no lock
            )
        try:
            self._wait_for_a_put()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self.data, ignore_errors=True)
        for port in self.ports:  # its sockets lie in /tmp, whatever TMPDIR says, and are named by port
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)

    def _argv(self) -> list[str]:
        identities = self.directory / "identities.json"
        identities.write_text(json.dumps({"identities": [_identity(name, rights) for name, rights in RIGHTS.items()]}))
        ports = [f"-{part}.port={port}" for part, port in zip(PARTS, self.ports, strict=False)]
        ports += [f"-{part}.port.grpc={port}" for part, port in zip(PARTS, self.ports[len(PARTS) :], strict=True)]
        return [
            WEED,
            "mini",
            f"-dir={self.data}",
            f"-bucket={BUCKET}",
            f"-s3.config={identities}",
            "-s3.autoCreateBucket=false",  # as on AWS
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-webdav=false",
            "-admin.ui=false",
            "-master.telemetry=false",
            *ports,
        ]

    def _env(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {**own, "TMPDIR": str(self.data), "GOMEMLIMIT": "512MiB"}

    def _wait_for_a_put(self) -> None:
        """The port answers before a write can succeed."""
        s3 = S3(self.endpoint, "")
        try:
            client = s3.client(attempts=1)
            end = time.monotonic() + 60
            while True:
                try:
                    client.put_object(Bucket=BUCKET, Key="ready", Body=b"")
                    client.create_bucket(Bucket=OTHER_BUCKET)
                    break
                except (BotoCoreError, ClientError) as error:
                    if self._process.poll() is not None or time.monotonic() > end:
                        raise AssertionError(f"SeaweedFS did not start: {self.log.read_text()[-3000:]}") from error
                    time.sleep(0.05)
        finally:
            s3.close()


def _identity(name: str, rights: list[str]) -> dict[str, object]:
    return {"name": name, "credentials": [{"accessKey": name, "secretKey": SECRET}], "actions": rights}


@contextmanager
def shared(directory: Path) -> Iterator[str]:
    """The endpoint of the one server that all users of `directory` share; it ends soon after the last of them."""
    directory.mkdir(parents=True, exist_ok=True)
    lease = os.open(directory / "lease", os.O_RDWR | os.O_CREAT)
    try:
        with FileLock(directory / "start.lock"):
            fcntl.flock(lease, fcntl.LOCK_SH)  # waits for a supervisor that is just ending
            if not (directory / "endpoint").exists():
                _start_supervisor(directory)
            endpoint = (directory / "endpoint").read_text()
        yield endpoint
    finally:
        os.close(lease)


def _start_supervisor(directory: Path) -> None:
    log = directory / "supervisor.log"
    with log.open("ab") as out:
        started = subprocess.run(
            [sys.executable, "-m", "tests.e2e.seaweed", str(directory)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            check=False,
        )
    assert started.returncode == 0, log.read_text()


def _supervise(directory: Path) -> None:
    """Return in the caller once the server is up; go on in a session of its own until the lease is free."""
    up, said = os.pipe()
    if os.fork():
        os.close(said)
        sys.exit(0 if os.read(up, 1) else 1)
    os.close(up)
    os.setsid()
    lease = os.open(directory / "lease", os.O_RDWR)
    with SeaweedFS(directory) as server, suppress(FileNotFoundError):
        partial = directory / "endpoint.part"
        partial.write_text(server.endpoint)
        partial.rename(directory / "endpoint")
        os.write(said, b"1")
        os.close(said)
        fcntl.flock(lease, fcntl.LOCK_EX)
        (directory / "endpoint").unlink()


if __name__ == "__main__":
    _supervise(Path(sys.argv[1]))
