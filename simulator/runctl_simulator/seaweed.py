"""A real S3 on this machine: SeaweedFS, which checks checksums, signatures and rights."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from .processes import die_with_parent

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

WEED = str(Path(sys.executable).with_name("weed"))
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


def free_ports(count: int) -> list[int]:
    """Of those that the kernel gives to no outgoing connection, which would have one before its server does (ip(7),
    ip_local_port_range; here its default)."""
    found: set[int] = set()
    with ExitStack() as sockets:
        while len(found) < count:
            port = 10_000 + secrets.randbelow(32_768 - 10_000)
            with suppress(OSError):
                sockets.enter_context(socket.socket()).bind(("127.0.0.1", port))
                found.add(port)
    return list(found)


class SeaweedFS:
    """A server of its own; `directory` is for it alone and is emptied at the end, but for the log.

    `policies`: access key to an IAM policy, which is all that its bearer may do. It ends with the thread that started it.
    Raises RuntimeError if it does not start.
    """

    def __init__(self, directory: Path, policies: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.directory = directory
        self.policies = policies or {}
        self.data = directory / "data"
        self.log = directory / "weed.log"
        self.ports = free_ports(2 * len(PARTS))
        self.endpoint = f"http://127.0.0.1:{self.ports[PARTS.index('s3')]}"

    def __enter__(self) -> SeaweedFS:
        self.data.mkdir(parents=True)
        self.start()
        return self

    def start(self) -> None:
        """Also again, after `kill`: with what it had stored."""
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

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.data, ignore_errors=True)
        for port in self.ports:  # its sockets lie in /tmp, whatever TMPDIR says, and are named by port
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)

    @property
    def pid(self) -> int:
        return self._process.pid

    def _argv(self) -> list[str]:
        identities = self.directory / "identities.json"
        known = [_identity(name, {"actions": rights}) for name, rights in RIGHTS.items()]
        known += [_identity(name, {"policyNames": [name]}) for name in self.policies]
        policies = [{"name": name, "content": json.dumps(policy)} for name, policy in self.policies.items()]
        identities.write_text(json.dumps({"identities": known, "policies": policies}))
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
        end = time.monotonic() + 60
        with closing(_client(self.endpoint)) as client:
            while True:
                try:
                    client.put_object(Bucket=BUCKET, Key="ready", Body=b"")
                    with suppress(client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
                        client.create_bucket(Bucket=OTHER_BUCKET)
                    return
                except (BotoCoreError, ClientError) as error:
                    if self._process.poll() is not None or time.monotonic() > end:
                        raise RuntimeError(f"SeaweedFS did not start: {self.log.read_text()[-3000:]}") from error
                    time.sleep(0.05)


def _client(endpoint: str) -> S3Client:
    session = Session("admin", SECRET, region_name=REGION)
    config = Config(
        connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, proxies={}
    )
    return session.client("s3", endpoint_url=endpoint, config=config)


def _identity(name: str, may: Mapping[str, list[str]]) -> dict[str, object]:
    return {"name": name, "credentials": [{"accessKey": name, "secretKey": SECRET}], **may}
