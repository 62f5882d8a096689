"""Manifest, `latest` and epoch: round trips, golden documents, total decoders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.contract.malformed import Malformed
from runctl_agent.contract.manifest import (
    Epoch,
    Latest,
    Manifest,
    ManifestFile,
    Part,
    Rank,
    decode_epoch,
    decode_latest,
    decode_manifest,
    encode_epoch,
    encode_latest,
    encode_manifest,
)

from .strategies import RELAXED, broken_json, epoch_documents, json_values, latests, manifests

GOLDEN = Path(__file__).parent / "golden"
DECODERS: list[Callable[[bytes], object]] = [decode_manifest, decode_latest, decode_epoch]
EXAMPLE = Manifest(
    run="gpt2-20261123-7f3a",
    epoch=2,
    seq=7,
    checkpoint="checkpoint-500",
    step=500,
    rank=Rank(True, 2, 500, 7),
    kind="huggingface",
    complete=True,
    created=1795457375.25,
    instance="i-0123456789abcdef0",
    files=(
        ManifestFile(
            path="model.safetensors",
            size=12_582_912,
            mtime_ns=1_795_457_370_123_456_789,
            digest="blake3-parts:" + "ab" * 32,
            crc=0x414FA339,
            object="data/000002-00000007/checkpoint-500/model.safetensors",
            parts=(Part(0, 8_388_608, "blake3:" + "01" * 32), Part(8_388_608, 4_194_304, "blake3:" + "23" * 32)),
        ),
        ManifestFile(
            path="nested/n\udce9e.json",
            size=0,
            mtime_ns=1_795_457_371_000_000_000,
            digest="blake3:" + "cd" * 32,
            crc=0,
            object="data/000001-00000003/checkpoint-400/nested/n%E9e.json",
        ),
    ),
    directory="checkpoints",
    nonce="5f" * 16,
    trainer={"pid": 4242, "ticks": 99_887_766, "boot_id": "2d1c0f6e-8a4b-4f8e-9f57-0c1d2e3f4a5b", "attempt": 1, "torch": None},
)
LATEST = Latest(
    "manifests/000002-00000007-checkpoint-500.json", "checkpoint-500", 500, Rank(True, 2, 500, 7), fence=2, nonce="5f" * 16
)
EPOCH = Epoch(2, "5f" * 16, "i-0123456789abcdef0", "2d1c0f6e-8a4b-4f8e-9f57-0c1d2e3f4a5b", 1, 1795457000.5)


@RELAXED
@given(manifests)
def test_a_manifest_comes_back(manifest: Manifest) -> None:
    assert decode_manifest(encode_manifest(manifest)) == manifest


@RELAXED
@given(latests())
def test_a_pointer_comes_back(latest: Latest) -> None:
    assert decode_latest(encode_latest(latest)) == latest


@RELAXED
@given(epoch_documents)
def test_an_epoch_comes_back(epoch: Epoch) -> None:
    assert decode_epoch(encode_epoch(epoch)) == epoch


@pytest.mark.parametrize(
    ("name", "decode", "encode", "value"),
    [
        ("manifest.json", decode_manifest, encode_manifest, EXAMPLE),
        ("latest.json", decode_latest, encode_latest, LATEST),
        ("epoch.json", decode_epoch, encode_epoch, EPOCH),
    ],
)
def test_golden(name: str, decode: Callable[[bytes], Any], encode: Callable[[Any], bytes], value: object) -> None:
    body = (GOLDEN / name).read_bytes()
    assert decode(body) == value
    assert encode(decode(body)) == body


@pytest.mark.parametrize("decode", DECODERS)
@RELAXED
@given(body=st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_garbage_is_malformed(decode: Callable[[bytes], object], body: bytes) -> None:
    assert isinstance(decode(body), Malformed)


@RELAXED
@given(broken_json(encode_manifest(EXAMPLE)))
def test_one_wrong_value_gives_a_manifest_or_malformed(body: bytes) -> None:
    found = decode_manifest(body)
    if isinstance(found, Manifest):
        assert decode_manifest(encode_manifest(found)) == found


@RELAXED
@given(broken_json(encode_latest(LATEST)) | broken_json(encode_epoch(EPOCH)))
def test_one_wrong_value_never_raises(body: bytes) -> None:
    decode_latest(body)
    decode_epoch(body)


def changed(**fields: object) -> bytes:
    plain = json.loads(encode_manifest(EXAMPLE))
    plain.update(fields)
    return json.dumps(plain).encode()


def changed_file(**fields: object) -> bytes:
    plain = json.loads(encode_manifest(EXAMPLE))
    plain["files"][0].update(fields)
    return json.dumps(plain).encode()


UNSAFE = ["", "/etc/passwd", "..", "../x", "a/../b", "a//b", "./a", "a/.", "a/", "a\0b", "\ud800"]


@pytest.mark.parametrize("path", UNSAFE)
def test_an_unsafe_path_is_malformed(path: str) -> None:
    for body, place in ((changed_file(path=path), "files[0].path"), (changed_file(object=path), "files[0].object")):
        found = decode_manifest(body)
        assert isinstance(found, Malformed)
        assert found.reason.startswith(place)


@pytest.mark.parametrize("name", [*UNSAFE, "a/b"])
def test_an_unsafe_checkpoint_is_malformed(name: str) -> None:
    assert isinstance(decode_manifest(changed(checkpoint=name)), Malformed)


@pytest.mark.parametrize("second", ["model.safetensors", "model.safetensors/x"])
def test_paths_that_cannot_stand_in_one_directory_are_malformed(second: str) -> None:
    plain = json.loads(encode_manifest(EXAMPLE))
    plain["files"][1]["path"] = second
    assert isinstance(decode_manifest(json.dumps(plain).encode()), Malformed)


def test_two_spellings_of_one_file_name_are_malformed() -> None:
    plain = json.loads(encode_manifest(EXAMPLE))
    plain["files"][0]["path"] = "ä"
    plain["files"][1]["path"] = "\udcc3\udca4"  # the same two bytes, as they would be undecoded
    assert isinstance(decode_manifest(json.dumps(plain).encode()), Malformed)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (changed(version=2), "version: version 2 is newer than 1"),
        (changed(version=True), "version: "),
        (changed(bytes=1), "bytes: the files have 12582912 bytes together"),
        (changed(rank=[True, 2, 500]), "rank: expected a list of [weights, epoch, step, seq]"),
        (changed(rank=[1, 2, 500, 7]), "rank: expected true or false"),
        (changed(step=True), "step: expected a whole number"),
        (changed(step=2**63), "step: expected a whole number"),
        (changed(created=1e300), "created: "),
        (changed(run="UP"), "run: "),
        (changed(epoch=10**6), "epoch: "),
        (changed_file(size=12_582_913), "files[0].parts: the parts end at"),
        (changed_file(checksum={"algorithm": "CRC64NVME", "value": "AAAAAA=="}), "files[0].checksum.algorithm: "),
        (changed_file(checksum={"algorithm": "CRC32", "value": "AAAA"}), "files[0].checksum.value: "),
        (changed_file(digest="md5"), "files[0].digest: "),
        (changed_file(encoding="zstd"), "files[0].parts: a part of a compressed file does not say"),
        (changed_file(encoding="zstd", parts=[]), "files[0].parts: a part of a compressed file does not say"),
        (
            changed_file(parts=[{"offset": 0, "size": 12_582_912, "digest": "blake3:00", "stored": 3}]),
            "files[0].parts: a part says",
        ),
        (changed_file(sampled=-1), "files[0].sampled: "),
        (changed_file(copied=12_582_913), "files[0].copied: 12582913 bytes were copied of"),
    ],
)
def test_the_reason_names_the_place(body: bytes, reason: str) -> None:
    found = decode_manifest(body)
    assert isinstance(found, Malformed)
    assert found.reason.startswith(reason)


def test_keys_of_a_later_writer_are_ignored() -> None:
    plain = json.loads(changed(colour="blue"))
    plain["files"][0]["flavour"] = ["sour"]
    assert decode_manifest(json.dumps(plain).encode()) == EXAMPLE


def test_a_compressed_file_lies_frame_after_frame() -> None:
    parts = [
        {**part, "stored": 1000 + n, "crc": "QU+jOQ=="}
        for n, part in enumerate(json.loads(encode_manifest(EXAMPLE))["files"][0]["parts"])
    ]
    found = decode_manifest(changed_file(encoding="zstd", parts=parts))
    assert isinstance(found, Manifest)
    assert (found.files[0].size, found.files[0].stored) == (12_582_912, 2001)
    assert EXAMPLE.files[0].stored == 12_582_912


def test_the_checksum_stands_as_s3_shows_it() -> None:
    # The CRC-32 of b"The quick brown fox jumps over the lazy dog".
    assert json.loads(encode_manifest(EXAMPLE))["files"][0]["checksum"] == {"algorithm": "CRC32", "value": "QU+jOQ=="}


def test_what_could_not_be_read_back_is_not_written() -> None:
    broken = Manifest(**{name: getattr(EXAMPLE, name) for name in Manifest.__slots__} | {"checkpoint": "../up"})
    with pytest.raises(ValueError, match="checkpoint"):
        encode_manifest(broken)


@pytest.mark.parametrize(
    "fields",
    [
        {"manifest": None},
        {"rank": None},
        {"manifest": "status.json"},
        {"manifest": "../manifests/000001-00000001-a.json"},
        {"fence": -1},
    ],
)
def test_a_pointer_that_points_nowhere_is_malformed(fields: dict[str, object]) -> None:
    plain = json.loads(encode_latest(LATEST)) | fields
    assert isinstance(decode_latest(json.dumps(plain).encode()), Malformed)
