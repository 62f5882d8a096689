"""Manifests of small checkpoints, and their data in a store."""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Mapping

from blake3 import blake3

from runctl_agent.contract.keys import Keys
from runctl_agent.contract.manifest import Manifest, ManifestFile, Rank
from runctl_agent.store.objects import ObjectStore
from tests.fakes.clock import FakeRuntime

RUN = "gpt2"
KEYS = Keys("runs", RUN)
INSTANCE = "i-0123456789abcdef0"
MTIME = 1_700_000_000_123_456_789

_contents: dict[str, bytes] = {}  # by digest, of every file entry made here


class OwnNonces(FakeRuntime):
    """Nonces that no other instance of it gives: for tests with two writers."""

    def nonce(self) -> str:
        return uuid.uuid4().hex


def file_entry(path: str, content: bytes, key: str = "data/000001-00000001/x/x") -> ManifestFile:
    """One file of one part. `key` is relative to the run."""
    digest = f"blake3:{blake3(content).hexdigest()}"
    _contents[digest] = content
    return ManifestFile(path, len(content), MTIME, digest, zlib.crc32(content), key)


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
) -> Manifest:
    """What the agent would commit of `files`, by path; by default of one file of weights."""
    contents = {"model.safetensors": f"the weights of {name}".encode()} if files is None else files

    def entry(path: str, content: bytes) -> ManifestFile:
        return file_entry(path, content, KEYS.relative(KEYS.data(epoch, seq, name, path)))

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
        store.put(KEYS.absolute(file.object), _contents[file.digest] if files is None else files[file.path])
