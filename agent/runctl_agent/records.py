"""Frozen values that the stages hand to each other; past the edge nobody sees watchdog, botocore or systemd.

Paths are `str` as `os.fsdecode` gives them (PEP 383: undecodable bytes as lone surrogates). Times ending in `_at` or named
`at` are wall-clock seconds since the epoch, from `Runtime.now()`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter


@dataclass(frozen=True, slots=True, order=True)
class FileId:
    """The identity of a file's content: equal identities mean equal bytes once mtime is older than the clock's granularity."""

    device: int
    inode: int
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True, order=True)
class FileEntry:
    """One file of a checkpoint: `path` is relative to the checkpoint (for a top-level file: its own name)."""

    path: str
    id: FileId


_path = attrgetter("path")


def signature(files: Iterable[FileEntry]) -> str:
    """Hash of a tree's identities, order-independent. The device number is left out: it may change over a reboot."""
    whole = hashlib.sha256()
    for entry in sorted(files, key=_path):  # no path is there twice
        name = entry.path.encode("utf-8", "surrogateescape")
        whole.update(b"%d:%s:%d:%d:%d\n" % (len(name), name, entry.id.inode, entry.id.size, entry.id.mtime_ns))
    return whole.hexdigest()


class Kind(StrEnum):
    """What wrote a checkpoint; decides which part is written last and where restore puts it."""

    FILE = "file"  # one top-level file
    FINAL = "final"  # Hugging Face's files at the top level, together
    HUGGINGFACE = "huggingface"  # checkpoint-N/
    DEEPSPEED = "deepspeed"  # global_stepN/
    DCP = "dcp"  # torch.distributed.checkpoint
    ORBAX = "orbax"
    LIGHTNING = "lightning"  # a directory checkpoint of Lightning (sharded strategies)
    DIRECTORY = "directory"  # any other directory that has a file of a weights kind


IN_PLACE = frozenset({Kind.FILE, Kind.FINAL})
"""Kinds whose files lie directly in the watched directory, not in a directory of their own."""


class Proof(StrEnum):
    """What a file's own format says about it."""

    WHOLE = "whole"
    BROKEN = "broken"  # a known format that is not whole (yet)
    UNKNOWN = "unknown"  # nothing recognised: only quiet time can tell


class Writer(StrEnum):
    """Whether someone has the file open for writing."""

    NONE = "none"  # a read lease was granted
    OPEN = "open"  # EAGAIN: open for writing or mapped for it
    UNKNOWN = "unknown"  # leases don't work here


class Hinted(StrEnum):
    """What an event says of its path."""

    CLOSED = "closed"  # closed after writing
    ARRIVED = "arrived"  # renamed to this name
    CHANGED = "changed"  # something else happened below


@dataclass(frozen=True, slots=True)
class Change:
    """A hint from the watcher. `path` is relative to `root`; empty means: read the whole root again."""

    root: str
    path: str
    what: Hinted


@dataclass(frozen=True, slots=True)
class FileReading:
    """What one look at one file showed."""

    path: str
    id: FileId
    proof: Proof
    writer: Writer
    holes: bool

    @property
    def entry(self) -> FileEntry:
        return FileEntry(self.path, self.id)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one look at one checkpoint candidate showed. `files` is sorted by path."""

    root: str
    name: str
    kind: Kind
    weights: bool
    step: int | None  # from the name, else from its own JSON; None: neither says
    files: tuple[FileReading, ...]
    trainer_lock: bool  # the trainer holds <name>.lock

    @property
    def signature(self) -> str:
        return signature(f.entry for f in self.files)


@dataclass(frozen=True, slots=True)
class Finished:
    """A checkpoint that is ready to be staged. `complete` is False for what never became whole before training ended."""

    root: str
    name: str
    kind: Kind
    step: int
    weights: bool
    complete: bool
    files: tuple[FileEntry, ...]
    at: float

    @property
    def signature(self) -> str:
        return signature(self.files)

    @property
    def size(self) -> int:
        """Bytes in all files."""
        return sum(f.id.size for f in self.files)


class Held(StrEnum):
    """How staging holds a file."""

    REFLINK = "reflink"
    LINK = "link"  # shares its inode with the trainer's file: can still be rewritten in place
    COPY = "copy"
    DESCRIPTOR = "descriptor"  # lives only as long as this agent


@dataclass(frozen=True, slots=True)
class StagedFile:
    """One staged file. `source` is the trainer's identity; `held_id` the staged file's own, checked again after the upload."""

    path: str
    source: FileId
    held: Held
    held_id: FileId


@dataclass(frozen=True, slots=True)
class Staged:
    """A checkpoint that rotation can't take away. `directory` is absolute, in staging; empty for descriptors."""

    finished: Finished
    directory: str
    files: tuple[StagedFile, ...]


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process, safe against pid reuse: `ticks` is its start in clock ticks since boot (proc(5), stat field 22)."""

    pid: int
    ticks: int
    boot_id: str


@dataclass(frozen=True, slots=True)
class Instance:
    """The EC2 instance the agent runs on. `boot_time` is in whole seconds since the epoch."""

    id: str
    region: str
    type: str
    zone: str
    boot_id: str
    boot_time: int


@dataclass(frozen=True, slots=True)
class Moment:
    """One reading of both clocks, in seconds: `wall` is compared with mtimes and shown, `mono` measures intervals."""

    wall: float
    mono: float


@dataclass(frozen=True, slots=True)
class Finishes:
    """How many checkpoints have finished since the agent started, and where the last of them lies; empty: none has."""

    count: int = 0
    root: str = ""
    name: str = ""
