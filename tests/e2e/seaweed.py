"""A real S3: SeaweedFS, one server for all the processes of a test run.

The first that needs it starts a supervisor, which holds the server until nobody has the lease any more: a lock that the
kernel releases however its holders end.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from boto3.session import Session
from filelock import FileLock

from runctl_agent.store.s3 import S3Store, connect
from runctl_simulator.processes import die_with_parent as die_with_parent
from runctl_simulator.seaweed import BUCKET as BUCKET
from runctl_simulator.seaweed import OTHER_BUCKET as OTHER_BUCKET
from runctl_simulator.seaweed import REGION as REGION
from runctl_simulator.seaweed import SECRET as SECRET
from runctl_simulator.seaweed import SeaweedFS as SeaweedFS
from runctl_simulator.seaweed import free_ports as free_ports

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ROOT = Path(__file__).parents[2]


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
        client = _client(self.endpoint, self.access_key, self.secret_key, region, attempts)
        self._open.callback(client.close)
        return client

    def store(self, bucket: str | None = None, *, region: str = REGION, attempts: int = 3) -> S3Store:
        """One and the same for all who ask: to make it takes a third of a second of CPU, and tests look often."""
        own = (self.endpoint, self.access_key, self.secret_key, region, attempts)
        return self._open.enter_context(_kept_store(bucket or self.bucket, *own))

    def close(self) -> None:
        self._open.close()


def _client(endpoint: str, access_key: str, secret_key: str, region: str, attempts: int) -> S3Client:
    session = Session(aws_access_key_id=access_key, aws_secret_access_key=secret_key)
    return connect(region, endpoint=endpoint, session=session, attempts=attempts)


@lru_cache(maxsize=16)
def _kept_store(bucket: str, endpoint: str, access_key: str, secret_key: str, region: str, attempts: int) -> S3Store:
    """Closed by everybody who is done; calls after that open new connections."""
    return S3Store(bucket, client=_client(endpoint, access_key, secret_key, region, attempts))


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
