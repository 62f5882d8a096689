"""What a manifest says without its files' parts, of which there are thousands: so much of each checkpoint of a run is kept.

A type of its own, so that nobody takes a file for one that lists no parts: whoever needs them reads the manifest again.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from runctl_agent.contract.files import IDENTITY, ZSTD
from runctl_agent.contract.manifest import Manifest, ManifestFile, Rank

from .check import unknown


@dataclass(frozen=True, slots=True)
class DataObject:
    """An object that a manifest names, by its key relative to the run: so many bytes, with this CRC-32.

    `sized`: whether the bytes are known; of an encoding that this version does not know `stored` is the content's size.
    """

    object: str
    stored: int
    crc: int
    sized: bool


@dataclass(frozen=True, slots=True)
class Outline:
    """A committed checkpoint. `size`: bytes of content in all files; the other names are those of `Manifest`.

    `copied`: bytes of its own objects that were copied inside S3 instead of being sent.
    `unknown`: why this version can't restore it at all, empty if it can; the parts told that too.
    """

    epoch: int
    seq: int
    checkpoint: str
    step: int
    rank: Rank
    kind: str
    complete: bool
    created: float
    instance: str
    directory: str
    nonce: str
    size: int
    objects: tuple[DataObject, ...]
    unknown: str
    copied: int = 0


def outline(manifest: Manifest) -> Outline:
    """Nothing of it refers to the manifest's files."""
    return Outline(
        manifest.epoch,
        manifest.seq,
        manifest.checkpoint,
        manifest.step,
        manifest.rank,
        manifest.kind,
        manifest.complete,
        manifest.created,
        sys.intern(manifest.instance),  # the same in many
        sys.intern(manifest.directory),
        manifest.nonce,
        manifest.size,
        tuple(map(_object, manifest.files)),
        unknown(manifest),
        sum(file.copied for file in manifest.files),
    )


def _object(file: ManifestFile) -> DataObject:
    return DataObject(file.object, file.stored, file.crc, file.encoding in (IDENTITY, ZSTD))
