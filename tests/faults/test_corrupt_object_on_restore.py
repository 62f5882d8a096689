"""What arrives from the store is not what was committed."""

from __future__ import annotations

import os
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from runctl_agent.contract.manifest import encode_manifest
from runctl_agent.store.codec import encode
from runctl_agent.store.restore import Restorer
from tests.e2e.proxy import Proxy, corrupt_response
from tests.e2e.seaweed import S3
from tests.e2e.wired import Wired
from tests.fakes.manifests import KEYS, OwnNonces, committed, manifest_of, put_data
from tests.fakes.memory_store import MemoryStore

NEWEST = KEYS.data(1, 2, "checkpoint-2", "model.safetensors")


def filled(store: MemoryStore) -> MemoryStore:
    for seq in (1, 2):
        manifest = manifest_of(f"checkpoint-{seq}", seq, seq=seq)
        put_data(store, manifest)
        store.put(KEYS.manifest(1, seq, manifest.checkpoint), encode_manifest(manifest))
    return store


@pytest.fixture
def store() -> MemoryStore:
    return filled(MemoryStore())


def test_an_object_that_rotted_is_passed_by(store: MemoryStore, tmp_path: Path) -> None:
    store.corrupt_next("open_range", times=99, key=NEWEST)
    done = Restorer(store, KEYS, OwnNonces()).restore(str(tmp_path))
    assert done.manifest.step == 1
    assert "digest" in done.passed_by[0].reason
    assert os.listdir(tmp_path) == ["checkpoint-1"]


def test_one_bad_transfer_is_only_repeated(store: MemoryStore, tmp_path: Path) -> None:
    store.corrupt_next("open_range", key=NEWEST)
    done = Restorer(store, KEYS, OwnNonces()).restore(str(tmp_path))
    assert (done.manifest.step, done.passed_by) == (2, ())


def test_an_object_overwritten_by_hand_is_passed_by_without_a_download(store: MemoryStore, tmp_path: Path) -> None:
    store.put(NEWEST, b"x" * len(store.objects[NEWEST].body))
    assert Restorer(store, KEYS, OwnNonces()).restore(str(tmp_path)).manifest.step == 1
    assert store.count("open_range", NEWEST) == 0


def test_an_equal_crc_does_not_pass_for_an_equal_content(store: MemoryStore, tmp_path: Path) -> None:
    forged = b"y" * len(store.objects[NEWEST].body)
    manifest = manifest_of("checkpoint-2", 2, seq=2)
    lying = replace(manifest, files=(replace(manifest.files[0], crc=zlib.crc32(forged)),))
    store.put(NEWEST, forged)
    store.put(KEYS.manifest(1, 2, "checkpoint-2"), encode_manifest(lying))
    done = Restorer(store, KEYS, OwnNonces()).restore(str(tmp_path))
    assert done.manifest.step == 1
    assert "digest" in done.passed_by[0].reason


def test_without_a_crc_in_the_store_the_content_still_decides(tmp_path: Path) -> None:
    store = filled(MemoryStore(keeps_crc=False))
    store.put(NEWEST, b"x" * len(store.objects[NEWEST].body))
    done = Restorer(store, KEYS, OwnNonces()).restore(str(tmp_path))
    assert done.manifest.step == 1


@pytest.fixture
def wired(tmp_path: Path, s3: S3, proxy: Proxy) -> Wired:
    """With two checkpoints in S3."""
    wired = Wired(tmp_path, s3, proxy)
    with wired.running() as process:
        for step in (1, 2):
            wired.save(step)
            wired.durable(process)
    return wired


def test_one_answer_changes_on_a_real_wire(wired: Wired, proxy: Proxy, tmp_path: Path) -> None:
    proxy.set(corrupt_response("GetObject", key="/data/", times=1))
    wired.agent.command("restore", "--to", str(tmp_path / "to"))
    assert (tmp_path / "to" / "model_step_2.pt").read_bytes() == wired.saved["model_step_2.pt", "model_step_2.pt"]
    assert len(proxy.befell()) == 1


def test_every_answer_for_the_newest_changes_on_a_real_wire(wired: Wired, proxy: Proxy, tmp_path: Path) -> None:
    proxy.set(corrupt_response("GetObject", key="/model_step_2.pt"))
    done = wired.agent.command("restore", "--to", str(tmp_path / "to"))
    assert "model_step_2.pt" in done.stderr
    assert os.listdir(tmp_path / "to") == ["model_step_1.pt"]
    assert (tmp_path / "to" / "model_step_1.pt").read_bytes() == wired.saved["model_step_1.pt", "model_step_1.pt"]


def test_a_document_changes_on_a_real_wire(wired: Wired, proxy: Proxy, tmp_path: Path) -> None:
    """One bit: a step or a rank may be another one, and all of it reads well."""
    proxy.set(corrupt_response("GetObject", key="/manifests/", times=2))
    done = wired.agent.command("restore", "--to", str(tmp_path / "to"))
    assert (tmp_path / "to" / "model_step_2.pt").read_bytes() == wired.saved["model_step_2.pt", "model_step_2.pt"]
    assert done.stderr == ""
    assert len(proxy.befell()) == 2


@pytest.mark.parametrize("damage", ["a byte", "the wrong frame", "no frame", "a bomb"])
def test_a_compressed_object_that_rotted_is_passed_by(tmp_path: Path, damage: str) -> None:
    """Where the store keeps no checksum, so that only what arrives can tell."""
    store = MemoryStore(keeps_crc=False)
    committed(store, manifest_of("checkpoint-1", 1, seq=1))
    content = b"abcd" * 1000
    committed(store, manifest_of("checkpoint-2", 2, {"a.bin": content}, seq=2, part=1000, encoding="zstd"))
    key = KEYS.data(1, 2, "checkpoint-2", "a.bin") + ".zst"
    whole = store.objects[key].body
    first = len(encode(content[:1000]))
    frames = {
        "a byte": bytes([*whole[: first // 2], whole[first // 2] ^ 1, *whole[first // 2 + 1 :]]),
        "the wrong frame": (encode(b"ABCD" * 250) + whole)[: len(whole)],
        "no frame": bytes(len(whole)),
        "a bomb": (encode(bytes(1 << 20)) + whole)[: len(whole)],
    }
    store.put(key, frames[damage])
    done = Restorer(store, KEYS, OwnNonces()).restore(str(tmp_path))
    assert done.manifest.step == 1
    assert [one.checkpoint for one in done.passed_by] == ["checkpoint-2"]
    assert os.listdir(tmp_path) == ["checkpoint-1"]
