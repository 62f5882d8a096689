"""Manifest, rank, `latest` and epoch: what makes a checkpoint exist, and which one is newest.

The documents are JSON in ASCII. Keys that a decoder does not know are ignored, a later `version` is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from .document import (
    LARGEST,
    Fields,
    Wrong,
    array,
    between,
    boolean,
    count,
    encode,
    instant,
    optional,
    parse,
    show,
    text,
    total,
)
from .files import ManifestFile as ManifestFile
from .files import Part as Part
from .files import one_tree, plain_file, read_file
from .keys import LAST_EPOCH, LAST_SEQ, parse_manifest_key
from .malformed import Malformed
from .names import component, nonce, object_key, run_name, word

VERSION = 1
"""Of all three documents."""


class Rank(NamedTuple):
    """The one order used by `latest`, restore and retention; greater is newer."""

    weights: bool
    epoch: int  # the rank epoch: for the backlog, the one that `latest` named when the epoch was taken
    step: int
    seq: int


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


# --- the order of manifests ---

Order = tuple[Rank, int, int, str]


def order(rank: Rank, manifest_key: str) -> Order:
    """What manifests are compared by: the rank, and where two are equal (backlogs of two epochs) the key's own epoch and seq."""
    place = parse_manifest_key(manifest_key)
    epoch, seq = (-1, -1) if isinstance(place, Malformed) else place[:2]
    return rank, epoch, seq, manifest_key


def ranked(manifests: Iterable[tuple[str, Manifest]]) -> list[tuple[str, Manifest]]:
    """The complete ones, newest first; an incomplete manifest never counts. Each with its relative key."""
    complete = [(key, manifest) for key, manifest in manifests if manifest.complete]
    return sorted(complete, key=lambda found: order(found[1].rank, found[0]), reverse=True)


def newest(manifests: Iterable[tuple[str, Manifest]]) -> tuple[str, Manifest] | None:
    """The first of `ranked`."""
    return next(iter(ranked(manifests)), None)


# --- encoding and decoding ---


def encode_manifest(manifest: Manifest) -> bytes:
    """Raises ValueError for what `decode_manifest` would refuse."""
    plain = {
        "version": VERSION,
        "run": manifest.run,
        "epoch": manifest.epoch,
        "seq": manifest.seq,
        "checkpoint": manifest.checkpoint,
        "step": manifest.step,
        "rank": list(manifest.rank),
        "kind": manifest.kind,
        "complete": manifest.complete,
        "created": manifest.created,
        "instance": manifest.instance,
        "node": manifest.node,
        "bytes": manifest.size,
        "files": [plain_file(file) for file in manifest.files],
        "directory": manifest.directory,
        "nonce": manifest.nonce,
        "trainer": dict(manifest.trainer),
    }
    return encode(plain, _manifest)


def decode_manifest(body: bytes) -> Manifest | Malformed:
    return total(lambda given: _manifest(Fields(parse(given))), body)


def encode_latest(latest: Latest) -> bytes:
    """Raises ValueError for what `decode_latest` would refuse."""
    plain = {
        "version": VERSION,
        "manifest": latest.manifest,
        "checkpoint": latest.checkpoint,
        "step": latest.step,
        "rank": None if latest.rank is None else list(latest.rank),
        "fence": latest.fence,
        "nonce": latest.nonce,
    }
    return encode(plain, _latest)


def decode_latest(body: bytes) -> Latest | Malformed:
    return total(lambda given: _latest(Fields(parse(given))), body)


def encode_epoch(epoch: Epoch) -> bytes:
    """Raises ValueError for what `decode_epoch` would refuse."""
    plain = {
        "version": VERSION,
        "epoch": epoch.epoch,
        "nonce": epoch.nonce,
        "instance": epoch.instance,
        "boot_id": epoch.boot_id,
        "attempts_without_progress": epoch.attempts_without_progress,
        "since": epoch.since,
    }
    return encode(plain, _epoch)


def decode_epoch(body: bytes) -> Epoch | Malformed:
    return total(lambda given: _epoch(Fields(parse(given))), body)


_epoch_number = between(0, LAST_EPOCH)
_seq_number = between(0, LAST_SEQ)


def _manifest(fields: Fields) -> Manifest:
    fields.version(VERSION)
    manifest = Manifest(
        run=fields.need("run", run_name),
        epoch=fields.need("epoch", _epoch_number),
        seq=fields.need("seq", _seq_number),
        checkpoint=fields.need("checkpoint", component),
        step=fields.need("step", count),
        rank=fields.need("rank", read_rank),
        kind=fields.need("kind", word),
        complete=fields.need("complete", boolean),
        created=fields.need("created", instant),
        instance=fields.need("instance", text),
        files=fields.need("files", array(read_file)),
        node=fields.get("node", count, 0),
        directory=fields.get("directory", text, ""),
        nonce=fields.get("nonce", nonce, ""),
        trainer=fields.get("trainer", _trainer, {}),
    )
    one_tree(manifest.files)
    if fields.need("bytes", count) != manifest.size:
        raise Wrong(f"the files have {manifest.size} bytes together", "bytes")
    return manifest


def _latest(fields: Fields) -> Latest:
    fields.version(VERSION)
    latest = Latest(
        manifest=fields.need("manifest", optional(_manifest_key)),
        checkpoint=fields.need("checkpoint", optional(component)),
        step=fields.need("step", optional(count)),
        rank=fields.need("rank", optional(read_rank)),
        fence=fields.need("fence", _epoch_number),
        nonce=fields.get("nonce", nonce, ""),
    )
    named = {value is not None for value in (latest.manifest, latest.checkpoint, latest.step, latest.rank)}
    if len(named) > 1:
        raise Wrong("manifest, checkpoint, step and rank stand together or not at all")
    return latest


def _epoch(fields: Fields) -> Epoch:
    fields.version(VERSION)
    return Epoch(
        epoch=fields.need("epoch", _epoch_number),
        nonce=fields.need("nonce", nonce),
        instance=fields.need("instance", text),
        boot_id=fields.need("boot_id", text),
        attempts_without_progress=fields.need("attempts_without_progress", count),
        since=fields.need("since", instant),
    )


def read_rank(value: object) -> Rank:
    if not isinstance(value, list) or len(value) != len(Rank._fields):
        raise Wrong(f"expected a list of [weights, epoch, step, seq], not {show(value)}")
    weights, epoch, step, seq = value
    return Rank(boolean(weights), _epoch_number(epoch), count(step), _seq_number(seq))


def _manifest_key(value: object) -> str:
    key = object_key(value)
    place = parse_manifest_key(key)
    if isinstance(place, Malformed) or not key.startswith("manifests/"):
        raise Wrong(f"{show(key)} is not manifests/<epoch>-<seq>-<checkpoint>.json")
    return key


def _trainer(value: object) -> Mapping[str, str | int | None]:
    fields = Fields(value)
    return {key: fields.need(key, _fact) for key in map(text, fields)}


def _fact(value: object) -> str | int | None:
    if value is None or isinstance(value, str):
        return value
    return between(-LARGEST, LARGEST)(value)
