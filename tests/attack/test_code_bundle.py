"""A code archive that unpacks elsewhere, brings links and devices, or is not what its name says: the run fails, and says why."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attack.attacker import GID, UID, USER, Target


def member(name: str, body: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(body)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, body


HOSTILE: dict[str, list[tuple[tarfile.TarInfo, bytes]]] = {
    "traversal": [member("../../private/owned", b"x")],
    "inside out": [member("a/../../../private/owned", b"x")],
    "link and through it": [
        member("out", type=tarfile.SYMTYPE, linkname="{outside}"),
        member("out/owned", b"x"),
    ],
    "hard link": [member("model.bin", type=tarfile.LNKTYPE, linkname="{outside}/model.bin")],
    "device": [member("disk", type=tarfile.BLKTYPE, devmajor=8, devminor=0)],
    "fifo": [member("pipe", type=tarfile.FIFOTYPE)],
}

REASONS = {
    "traversal": "outside the destination",
    "inside out": "outside the destination",
    "link and through it": "absolute",
    "hard link": "absolute",
    "device": "special file",
    "fifo": "special file",
}
"""Of the data filter (PEP 706)."""


def archive(members: list[tuple[tarfile.TarInfo, bytes]], outside: Path) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for info, body in members:
            own = tarfile.TarInfo(info.name.format(outside=outside))
            own.size, own.type, own.linkname = info.size, info.type, info.linkname.format(outside=outside)
            own.devmajor, own.devminor = info.devmajor, info.devminor
            tar.addfile(own, io.BytesIO(body))
    return out.getvalue()


@pytest.fixture
def launched(target: Target) -> Callable[[bytes, str], Target]:
    """A run whose code is `body`, called `name`."""

    def prepare(body: bytes, name: str) -> Target:
        key = f"{target.s3.prefix}/code/{name}.tar.gz"
        target.s3.client().put_object(Bucket=target.s3.bucket, Key=key, Body=body)
        spec = json.loads(target.config.read_text())
        spec["training"] = {
            "command": ["/bin/sh", "-c", "echo trained > trained"],
            "user": USER,
            "code": f"s3://{target.s3.bucket}/{key}",
        }
        target.config.write_text(json.dumps(spec))
        return target

    return prepare


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_is_unpacked_elsewhere(name: str, launched: Callable[[bytes, str], Target], place: Path) -> None:
    outside = place / "private"
    body = archive(HOSTILE[name], outside)
    target = launched(body, hashlib.sha256(body).hexdigest())
    with target.running() as agent:
        status = target.wait_for(lambda status: status["phase"] in ("failed", "finished"), agent)
    assert status["phase"] == "failed"
    assert "the code archive can't be unpacked: " in status["error"]
    assert REASONS[name] in status["error"]
    assert not (target.workdir / "trained").exists()
    assert target.untouched()
    assert target.leaks() == []


def test_an_absolute_path_is_one_below(launched: Callable[[bytes, str], Target], place: Path) -> None:
    body = archive([member("{outside}/owned", b"x")], place / "private")
    target = launched(body, hashlib.sha256(body).hexdigest())
    with target.running() as agent:
        target.wait_for(lambda status: status["phase"] == "finished", agent)
    assert (target.workdir / f"{place}/private/owned".lstrip("/")).read_bytes() == b"x"
    assert target.untouched()


def test_one_that_is_not_what_its_name_says(launched: Callable[[bytes, str], Target], place: Path) -> None:
    """As anybody makes it who may write to the run's prefix."""
    body = archive([member("train.py", b"x")], place)
    target = launched(body, "0" * 64)
    with target.running() as agent:
        status = target.wait_for(lambda status: status["phase"] == "failed", agent)
    assert "is not what its name says" in status["error"]
    assert not (target.workdir / "train.py").exists()


@pytest.mark.parametrize(
    "body",
    [b"no archive", archive([member("a", b"x" * 5000)], Path("/"))[:-30], b"\x1f\x8b\x08" + b"\xff" * 200],
    ids=["no archive", "breaks off", "no deflate"],  # by itself pytest would name them by the second in which they were packed
)
def test_garbage_is_told_as_such(body: bytes, launched: Callable[[bytes, str], Target]) -> None:
    target = launched(body, hashlib.sha256(body).hexdigest())
    with target.running() as agent:
        status = target.wait_for(lambda status: status["phase"] == "failed", agent)
    assert "the code archive can't be unpacked: " in status["error"]


def test_what_it_brings_is_the_users(launched: Callable[[bytes, str], Target], place: Path) -> None:
    """Also what says that it is root's, and is to be started as root."""
    body = archive([member("tool", b"#!/bin/sh\n", mode=0o6777, uid=0, gid=0)], place)
    target = launched(body, hashlib.sha256(body).hexdigest())
    with target.running() as agent:
        target.wait_for(lambda status: status["phase"] == "finished", agent)
    found = os.stat(target.workdir / "tool")
    assert (found.st_uid, found.st_gid, found.st_mode & 0o6000) == (UID, GID, 0)
