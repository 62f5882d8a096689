"""Manifests of small checkpoints, and their data in a store."""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Mapping

from blake3 import blake3

from runctl_agent.contract.keys import Keys
from runctl_agent.contract.manifest import Manifest, ManifestFile, Part, Rank, encode_manifest
from runctl_agent.store.codec import encode, filling
from runctl_agent.store.objects import ObjectStore
from runctl_agent.store.piece import digest_of_parts
from runctl_agent.store.plan import cut
from tests.fakes.clock import FakeRuntime

RUN = "gpt2"
KEYS = Keys("runs", RUN)
INSTANCE = "i-0123456789abcdef0"
MTIME = 1_700_000_000_123_456_789

_stored: dict[str, bytes] = {}  # by digest and encoding, of every file entry made here


class OwnNonces(FakeRuntime):
    """Nonces that no other instance of it gives: for tests with two writers."""

    def nonce(self) -> str:
        return uuid.uuid4().hex


def file_entry(
    path: str, content: bytes, key: str = "data/000001-00000001/x/x", *, part: int = 1 << 40, encoding: str = "identity"
) -> ManifestFile:
    """One file, in parts of `part` bytes. `key` is relative to the run."""
    parts: list[Part] = []
    stored = b""
    for span in cut(len(content), part):
        body = content[span.offset : span.offset + span.length]
        digest = f"blake3:{blake3(body).hexdigest()}"
        if encoding == "zstd":
            frame = encode(body) + filling(span.number)
            parts.append(Part(span.offset, span.length, digest, len(frame), zlib.crc32(frame)))
            stored += frame
        else:
            parts.append(Part(span.offset, span.length, digest))
            stored += body
    listed = tuple(parts) if encoding == "zstd" or len(parts) > 1 else ()
    digest = digest_of_parts(one.digest.partition(":")[2] for one in parts)
    _stored[digest + encoding] = stored
    return ManifestFile(path, len(content), MTIME, digest, zlib.crc32(stored), key, encoding, listed)


def manifest_of(
    name: str,
    step: int,
    files: Mapping[str, bytes] | None = None,
    *,
    epoch: int = 1,
    seq: int = 1,
    rank_epoch: int | None = None,
    weights: bool = True,
    complete: bool = True,
    kind: str = "huggingface",
    instance: str = INSTANCE,
    part: int = 1 << 40,
    encoding: str = "identity",
) -> Manifest:
    """What the agent would commit of `files`, by path; by default of one file of weights."""
    contents = {"model.safetensors": f"the weights of {name}".encode()} if files is None else files

    def entry(path: str, content: bytes) -> ManifestFile:
        key = KEYS.relative(KEYS.data(epoch, seq, name, path)) + (".zst" if encoding == "zstd" else "")
        return file_entry(path, content, key, part=part, encoding=encoding)

    return Manifest(
        run=RUN,
        epoch=epoch,
        seq=seq,
        checkpoint=name,
        step=step,
        rank=Rank(weights, epoch if rank_epoch is None else rank_epoch, step, seq),
        kind=kind,
        complete=complete,
        created=1_800_000_000.0,
        instance=instance,
        files=tuple(entry(path, content) for path, content in contents.items()),
        nonce=f"{epoch}.{seq}",
    )


def put_data(store: ObjectStore, manifest: Manifest, files: Mapping[str, bytes] | None = None) -> None:
    """Every data object of `manifest`, whole, with the contents that it was made of or with `files`."""
    for file in manifest.files:
        store.put(KEYS.absolute(file.object), _stored[file.digest + file.encoding] if files is None else files[file.path])


def committed(store: ObjectStore, manifest: Manifest) -> Manifest:
    """Its data and itself."""
    put_data(store, manifest)
    store.put(KEYS.manifest(manifest.epoch, manifest.seq, manifest.checkpoint), encode_manifest(manifest))
    return manifest
