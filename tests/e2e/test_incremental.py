"""Checkpoints of which little changed, of which nothing changed, and compressed ones: what goes to S3, and what comes back."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from runctl_agent.contract.keys import Keys
from runctl_agent.contract.manifest import Manifest, ManifestFile
from tests.e2e.agent import Agent
from tests.e2e.committed import committed, everything
from tests.e2e.seaweed import S3

PART = 8 * 1024 * 1024
SIZE = 3 * PART + 12_345

Make = Callable[..., Agent]


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    directory = tmp_path / "checkpoints"
    directory.mkdir()
    return directory


def sharded(watched: Path, step: int, content: bytes) -> None:
    """As a trainer writes it: a directory whose files appear by rename, and a file that is the same in each."""
    half = watched.parent / "half"
    half.mkdir()
    (half / "weights.bin").write_bytes(content)
    (half / "config.json").write_text('{"layers": 2}')
    os.rename(half, watched / f"model-{step}")


def by_name(s3: S3) -> dict[str, dict[str, ManifestFile]]:
    found: list[Manifest] = committed(s3)
    return {manifest.checkpoint: {file.path: file for file in manifest.files} for manifest in found}


def restored(agent: Agent, to: Path, checkpoint: str) -> dict[str, bytes]:
    agent.command("restore", "--to", str(to), "--checkpoint", checkpoint)
    return {path.name: path.read_bytes() for path in (to / checkpoint).iterdir()}


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_only_what_changed_is_sent(tmp_path: Path, s3: S3, watched: Path, compression: str) -> None:
    agent = Agent(tmp_path, s3, checkpoints=watched, settle="300ms", compression=compression)
    content = random.Random(1).randbytes(SIZE)
    changed = content[: PART + 7] + b"\0\1\2" + content[PART + 10 :]
    sharded(watched, 1, content)
    agent.command("flush")
    sharded(watched, 2, changed)
    agent.command("flush")
    sharded(watched, 3, changed)
    agent.command("flush")

    found = by_name(s3)
    first, second, third = (found[f"model-{step}"] for step in (1, 2, 3))
    assert second["weights.bin"].copied >= SIZE - 2 * PART
    assert third["weights.bin"].object == second["weights.bin"].object
    assert {files["config.json"].object for files in (first, second, third)} == {first["config.json"].object}
    assert not [key for key in everything(s3) if "/data/" in key and "model-3" in key], "nothing of the third was sent"

    for step, expected in ((1, content), (2, changed), (3, changed)):
        back = restored(agent, tmp_path / f"to-{step}", f"model-{step}")
        assert back == {"weights.bin": expected, "config.json": b'{"layers": 2}'}


def test_without_dedup_each_checkpoint_has_its_own(tmp_path: Path, s3: S3, watched: Path) -> None:
    agent = Agent(tmp_path, s3, checkpoints=watched, settle="300ms", dedup=False)
    content = random.Random(1).randbytes(PART + 5)
    for step in (1, 2):
        sharded(watched, step, content)
        agent.command("flush")
    found = by_name(s3)
    for step in (1, 2):
        assert all(f"/model-{step}/" in file.object and not file.copied for file in found[f"model-{step}"].values())
    assert not [key for key in everything(s3) if "/pins/" in key]


def test_a_hard_link_under_another_name_is_not_sent(tmp_path: Path, s3: S3, watched: Path) -> None:
    agent = Agent(tmp_path, s3, checkpoints=watched, settle="300ms")
    (watched / "last-4.bin").write_bytes(random.Random(4).randbytes(PART + 99))
    agent.command("flush")
    os.link(watched / "last-4.bin", watched / "best.bin")
    agent.command("flush")
    found = by_name(s3)
    assert found["best.bin"]["best.bin"].object == found["last-4.bin"]["last-4.bin"].object
    assert len([key for key in everything(s3) if "/data/" in key]) == 1


def test_auto_compresses_what_pays_and_zstd_reads_it(tmp_path: Path, s3: S3, watched: Path) -> None:
    agent = Agent(tmp_path, s3, checkpoints=watched, settle="300ms", compression="auto")
    noise, text = random.Random(2).randbytes(PART + 1), b"the same again " * (2 * PART // 15)
    (watched / "noise-1.bin").write_bytes(noise)
    (watched / "text-2.bin").write_bytes(text)
    agent.command("flush")
    found = by_name(s3)
    declined, packed = found["noise-1.bin"]["noise-1.bin"], found["text-2.bin"]["text-2.bin"]
    assert (declined.encoding, packed.encoding) == ("identity", "zstd")
    assert (declined.sampled or 0.0) < 1.1
    with s3.store() as store:
        got = store.get(Keys(s3.prefix, "test-run").absolute(packed.object))
    assert got is not None
    assert len(got.body) == packed.stored
    assert zstandard.ZstdDecompressor().stream_reader(io.BytesIO(got.body), read_across_frames=True).read() == text
    agent.command("restore", "--to", str(tmp_path / "to"), "--checkpoint", "text-2.bin")
    assert (tmp_path / "to" / "text-2.bin").read_bytes() == text
