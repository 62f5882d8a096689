"""moto's S3, in a process of its own: it accepts wrong checksums and any signature, and knows conditional writes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from botocore.exceptions import BotoCoreError

from tests.e2e.seaweed import BUCKET, S3, die_with_parent, free_ports

MOTO = str(Path(sys.executable).with_name("moto_server"))


@contextmanager
def moto_server(directory: Path) -> Iterator[str]:
    """The endpoint of a server that has the bucket."""
    port = free_ports(1)[0]
    log = directory / "moto.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [MOTO, "-H", "127.0.0.1", "-p", str(port)],
            env={name: value for name, value in os.environ.items() if not name.startswith("MOTO_")},
            cwd=directory,  # where it keeps what it was told to record
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, no lock
        )
    endpoint = f"http://127.0.0.1:{port}"
    s3 = S3(endpoint, "")
    try:
        _make_bucket(s3, process, log)
        yield endpoint
    finally:
        s3.close()
        process.kill()
        process.wait()


def _make_bucket(s3: S3, process: subprocess.Popen[bytes], log: Path) -> None:
    client = s3.client(attempts=1)
    end = time.monotonic() + 60
    while True:
        try:
            client.create_bucket(Bucket=BUCKET)
            return
        except BotoCoreError as error:
            if process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"moto did not start: {log.read_text()}") from error
            time.sleep(0.1)
