"""Who else sends files to S3, each as its documentation has it; one process a run.

Each peer gets the files of one folder. A library runs in a process of its own: `python -m bench.upload_peers NAME FOLDER PREFIX`.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from subprocess import run

from bench.measure import python
from bench.sink_state import BUCKET

AT_A_TIME = 4
"""Files, where a library leaves that to its user; each sends several parts at a time besides."""

Command = Callable[[Path, str], list[str | Path]]
"""The command that sends a folder's files below a prefix."""


@dataclass(frozen=True)
class Peer:
    name: str
    version: str
    command: Command
    env: Mapping[str, str]


def peers(endpoint: str, certificate: Path) -> tuple[list[Peer], list[str]]:
    """Those that are on this machine, and what is missing."""
    found: list[Peer] = []
    absent: list[str] = []
    for name, (title, package, _) in LIBRARIES.items():
        known = version_of(package)
        if known:
            found.append(Peer(title, known, _library(name), {}))
        else:
            absent.append(f"{title} (pip install -e '.[bench]')")
    s5cmd, aws, rclone = (program(name) for name in ("s5cmd", "aws", "rclone"))
    if s5cmd:
        found.append(
            Peer(
                "s5cmd cp",
                said([s5cmd, "version"]),
                lambda folder, prefix: [s5cmd, "--endpoint-url", endpoint, "cp", f"{folder}/", f"s3://{BUCKET}/{prefix}/"],
                {},
            )
        )
    if aws and version_of("awscli"):
        found.append(
            Peer(
                "aws s3 cp",
                version_of("awscli"),
                lambda folder, prefix: [aws, "s3", "cp", "--recursive", "--quiet", folder, f"s3://{BUCKET}/{prefix}/"],
                {"AWS_ENDPOINT_URL": endpoint},
            )
        )
    if rclone:
        remote = f":s3,provider=Other,env_auth,endpoint='{endpoint}',region=us-east-1:{BUCKET}"
        found.append(
            Peer(
                "rclone copy",
                said([rclone, "version"]).split("\n")[0].removeprefix("rclone "),
                lambda folder, prefix: [rclone, "copy", "--ca-cert", certificate, folder, f"{remote}/{prefix}"],
                {"RCLONE_CONFIG": "/dev/null", "AWS_CA_BUNDLE": ""},
            )
        )
    absent += [name for name, path in (("s5cmd", s5cmd), ("aws", aws), ("rclone", rclone)) if not path]
    return found, absent


def _library(name: str) -> Command:
    return lambda folder, prefix: [python(), "-m", "bench.upload_peers", name, folder, prefix]


def program(name: str) -> str | None:
    """Beside this Python, else on the path."""
    beside = Path(python()).parent / name
    return str(beside) if beside.exists() else shutil.which(name)


def version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def said(command: list[str]) -> str:
    return run(command, capture_output=True, text=True, check=True).stdout.strip()


def _boto3(folder: Path, prefix: str) -> None:
    import boto3

    client = boto3.client("s3")
    for path in sorted(folder.iterdir()):
        client.upload_file(str(path), BUCKET, f"{prefix}/{path.name}")  # ten parts at a time


def _obstore(folder: Path, prefix: str, *, unsigned: bool = False) -> None:
    import os

    import obstore
    from obstore.store import S3Store

    endpoint = os.environ["AWS_ENDPOINT_URL_S3"]
    store = S3Store(BUCKET, endpoint=endpoint, virtual_hosted_style_request=False, unsigned_payload=unsigned)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        sent = [pool.submit(obstore.put, store, f"{prefix}/{path.name}", path) for path in sorted(folder.iterdir())]
    for each in sent:
        each.result()


TUNED = "obstore, unsigned"
"""As it does not come: over TLS a body may go without the SHA-256 that is all that obstore checks it by (`unsigned_payload`)."""

LIBRARIES: Mapping[str, tuple[str, str, Callable[[Path, str], None]]] = {
    "boto3": ("boto3 upload_file", "boto3", _boto3),
    "obstore": ("obstore put", "obstore", _obstore),
    "obstore-unsigned": (TUNED, "obstore", partial(_obstore, unsigned=True)),
}


if __name__ == "__main__":
    LIBRARIES[sys.argv[1]][2](Path(sys.argv[2]), sys.argv[3])
