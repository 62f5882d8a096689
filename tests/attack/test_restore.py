"""Whoever may write to the run's prefix in S3, or to the folder that is restored into, against a restore by root."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.attack.attacker import Attacker, Target

FILES = (
    "import os\nos.mkdir('checkpoints/checkpoint-{0}')\nopen('checkpoints/checkpoint-{0}/model.bin', 'wb').write(b'{0}' * 1000)"
)
LATEST = "latest.json"
MEASURED = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""
"""Prints the peak of a command's memory (KiB); in a process of its own, for a child counts with what its parent had."""


@pytest.fixture
def saved(target: Target, attacker: Attacker) -> Target:
    """Two checkpoints in S3, and none on the disk."""
    for step in (1, 2):
        attacker.runs(FILES.format(step))
        with target.running():
            target.committed(f"checkpoint-{step}")
    attacker.runs("import shutil; shutil.rmtree('checkpoints')")
    return target


def manifest_key(target: Target) -> str:
    """Of the newest."""
    with target.s3.store() as store:
        return max(store.list(f"{target.s3.prefix}/{target.run}/manifests/"))


def forge(target: Target, change: Callable[[dict[str, Any]], object]) -> None:
    client, key = target.s3.client(), manifest_key(target)
    plain = json.loads(client.get_object(Bucket=target.s3.bucket, Key=key)["Body"].read())
    change(plain)
    client.put_object(Bucket=target.s3.bucket, Key=key, Body=json.dumps(plain).encode())


def path_of(place: str) -> Callable[[dict[str, Any]], object]:
    return lambda plain: plain["files"][0].update(path=place)


def other_hash(plain: dict[str, Any]) -> None:
    kind, _, value = plain["files"][0]["digest"].partition(":")
    plain["files"][0]["digest"] = f"{kind}:{'0' * len(value)}" if value else "0" * len(kind)


def larger(plain: dict[str, Any]) -> None:
    plain["files"][0]["size"] = 1 << 60


FORGED: dict[str, Callable[[dict[str, Any]], object]] = {
    "a path outside": path_of("../../private/owned"),
    "an absolute path": path_of("/etc/owned"),
    "a path through itself": path_of("a/../../owned"),
    "a name with a NUL": path_of("a\0b"),
    "another hash": other_hash,
    "a size that no disk has": larger,
    "a checkpoint called ..": lambda plain: plain.update(checkpoint=".."),
    "an object outside the run": lambda plain: plain["files"][0].update(object="../../other/data/x"),
    "no files": lambda plain: plain.update(files=[]),
    "files that are none": lambda plain: plain.update(files=[1, None, {}]),
}


@pytest.mark.parametrize("how", FORGED)
def test_a_forged_manifest_is_passed_by(how: str, saved: Target, place: Path) -> None:
    forge(saved, FORGED[how])
    to = place / "root" / "back"
    done = saved.command("restore", "--to", str(to), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(os.listdir(to)) == ["checkpoint-1"], done.stdout + done.stderr
    assert "checkpoint-2" in done.stdout + done.stderr, "it says what it passed by"
    assert saved.untouched()
    assert not os.path.exists("/etc/owned")


@pytest.mark.parametrize("body", [b"", b"{", b'{"checkpoint": "../../etc"}', b'"' * 10_000_000, b"[" * 100_000])
def test_a_forged_pointer_misleads_nobody(body: bytes, saved: Target, place: Path) -> None:
    """It is a hint: what is there is listed."""
    key = f"{saved.s3.prefix}/{saved.run}/{LATEST}"
    saved.s3.client().put_object(Bucket=saved.s3.bucket, Key=key, Body=body)
    to = place / "root" / "back"
    saved.command("restore", "--to", str(to))
    assert os.listdir(to) == ["checkpoint-2"]


def test_a_manifest_of_a_million_files_is_refused_in_bounded_memory(saved: Target, place: Path) -> None:
    """It is larger than any document of ours: of 300 MB no more is read than tells that."""

    def many(plain: dict[str, Any]) -> None:
        one = plain["files"][0]
        plain["files"] = [{**one, "path": f"f{number}"} for number in range(1_000_000)]

    forge(saved, many)
    to = place / "root" / "back"
    command = [sys.executable, "-c", MEASURED, *saved.argv("restore", "--to", str(to))]
    done = subprocess.run(command, env=saved.env, capture_output=True, text=True, check=True)
    assert os.listdir(to) == ["checkpoint-1"]
    assert "it has more than 67108864 bytes" in done.stdout + done.stderr
    assert int(done.stdout.splitlines()[-1]) < 400 * 1024, done.stdout


@pytest.mark.parametrize("below", ["", "/back"])
def test_the_folder_that_is_restored_into_is_a_link(saved: Target, attacker: Attacker, below: str) -> None:
    """The agent restores for the training's user, who may not write where it leads."""
    attacker.runs("import os, sys; os.symlink(sys.argv[1], 'checkpoints')", saved.secret)
    spec = json.loads(saved.config.read_text())
    spec["training"] = {"command": ["/bin/sh", "-c", "echo trained > trained"], "user": "daemon"}
    spec["checkpoints"] = [{"path": str(saved.watched) + below}]
    saved.config.write_text(json.dumps(spec))
    with saved.running() as agent:
        status = saved.wait_for(lambda status: status["phase"] == "failed", agent)
    assert "may not write there" in status["error"] or "Permission denied" in status["error"]
    assert saved.untouched()
    assert not (saved.workdir / "trained").exists()
