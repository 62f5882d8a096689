"""Who else brings files from S3, each as its documentation has it; one process a run.

Each peer brings what lies below one prefix into a folder. A library runs in a process of its own:
`python -m bench.restore_peers NAME FOLDER PREFIX`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.measure import python
from bench.sink_state import BUCKET
from bench.upload_peers import AT_A_TIME, Command, Peer, program, said, version_of


def peers(endpoint: str, certificate: Path) -> tuple[list[Peer], list[str]]:
    """Those that are on this machine, and what is missing."""
    found: list[Peer] = []
    absent: list[str] = []
    for name, (call, _) in LIBRARIES.items():
        if known := version_of(name):
            found.append(Peer(f"{name} {call}", known, _library(name), {}))
        else:
            absent.append(f"{name} (pip install -e '.[bench]')")
    s5cmd, aws, rclone = (program(name) for name in ("s5cmd", "aws", "rclone"))
    if s5cmd:
        found.append(
            Peer(
                "s5cmd cp",
                said([s5cmd, "version"]),
                lambda folder, prefix: [s5cmd, "--endpoint-url", endpoint, "cp", f"s3://{BUCKET}/{prefix}/*", f"{folder}/"],
                {},
            )
        )
    if aws and version_of("awscli"):
        found.append(
            Peer(
                "aws s3 cp",
                version_of("awscli"),
                lambda folder, prefix: [aws, "s3", "cp", "--recursive", "--quiet", f"s3://{BUCKET}/{prefix}/", folder],
                {"AWS_ENDPOINT_URL": endpoint},
            )
        )
    if rclone:
        remote = f":s3,provider=Other,env_auth,list_version=2,endpoint='{endpoint}',region=us-east-1:{BUCKET}"
        found.append(
            Peer(
                "rclone copy",
                said([rclone, "version"]).split("\n")[0].removeprefix("rclone "),
                lambda folder, prefix: [rclone, "copy", "--ca-cert", certificate, f"{remote}/{prefix}", folder],
                {"RCLONE_CONFIG": "/dev/null", "AWS_CA_BUNDLE": ""},
            )
        )
    absent += [name for name, path in (("s5cmd", s5cmd), ("aws", aws), ("rclone", rclone)) if not path]
    return found, absent


def _library(name: str) -> Command:
    return lambda folder, prefix: [python(), "-m", "bench.restore_peers", name, folder, prefix]


def _boto3(folder: Path, prefix: str) -> None:
    import boto3

    client = boto3.client("s3")
    for found in client.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/")["Contents"]:
        key = found["Key"]
        client.download_file(BUCKET, key, str(folder / Path(key).name))  # ten ranges at a time


def _obstore(folder: Path, prefix: str) -> None:
    """One request a file, as it is quickest."""
    import obstore
    from obstore.store import S3Store

    store = S3Store(BUCKET, endpoint=os.environ["AWS_ENDPOINT_URL_S3"], unsigned_payload=True, virtual_hosted_style_request=False)

    def bring(key: str) -> None:
        with (folder / Path(key).name).open("wb", buffering=0) as file:
            for chunk in obstore.get(store, key).stream():
                file.write(chunk)

    keys = [found["path"] for batch in obstore.list(store, f"{prefix}/") for found in batch]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        brought = [pool.submit(bring, key) for key in keys]
    for each in brought:
        each.result()


LIBRARIES: Mapping[str, tuple[str, Callable[[Path, str], None]]] = {
    "boto3": ("download_file", _boto3),
    "obstore": ("get", _obstore),
}


if __name__ == "__main__":
    LIBRARIES[sys.argv[1]][1](Path(sys.argv[2]), sys.argv[3])
