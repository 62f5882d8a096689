"""Manifest, rank, `latest` and epoch: what makes a checkpoint exist, and which one is newest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Rank(NamedTuple):
    """The one order used by `latest`, restore and retention; greater is newer."""

    weights: bool
    epoch: int  # the rank epoch: for the backlog, the one that `latest` named when the epoch was taken
    step: int
    seq: int


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a file's content: offset and size in bytes, `digest` as `blake3:<hex>`."""

    offset: int
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """One file. `path` is relative to the checkpoint, `object` to `<destination>/<run>/`; `crc` is the object's CRC-32."""

    path: str
    size: int
    mtime_ns: int
    digest: str  # blake3:<hex> of the content; blake3-parts:<hex> of the parts' digests where there are several parts
    crc: int
    object: str
    encoding: str = "identity"
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """A committed checkpoint. `created` is in seconds since the epoch; `kind` is a value of `records.Kind`."""

    run: str
    epoch: int
    seq: int
    checkpoint: str
    step: int
    rank: Rank
    kind: str
    complete: bool
    created: float
    instance: str
    files: tuple[ManifestFile, ...]
    node: int = 0
    directory: str = ""  # the watched directory it came from, as in the run spec
    nonce: str = ""  # the writer's own: tells whose write stands when the answer was lost
    trainer: Mapping[str, str | int | None] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes in all files; `bytes` in the document."""
        return sum(f.size for f in self.files)


@dataclass(frozen=True, slots=True)
class Latest:
    """The pointer. All of `manifest` (relative to `<destination>/<run>/`) to `rank` is None until something was committed."""

    manifest: str | None
    checkpoint: str | None
    step: int | None
    rank: Rank | None
    fence: int  # nobody whose epoch is lower may touch it
    nonce: str


@dataclass(frozen=True, slots=True)
class Epoch:
    """The fencing token: who writes to this run now. `since` is in seconds since the epoch."""

    epoch: int
    nonce: str
    instance: str
    boot_id: str
    attempts_without_progress: int
    since: float
