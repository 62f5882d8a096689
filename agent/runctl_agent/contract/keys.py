"""Names in S3: the destination, and the key of every object under `<destination>/<run>/`."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import quote

from .document import Wrong, show, total
from .malformed import Malformed
from .names import LONGEST_KEY, file_bytes

LAST_EPOCH = 10**6 - 1
LAST_SEQ = 10**8 - 1
LONGEST_PART = 255
"""Bytes between two slashes: a server that keeps objects as files (SeaweedFS, MinIO) refuses more with KeyTooLongError."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'()=+@:,~/-]*")
_LONGEST_PREFIX = 512
_OFFSET = 12
_MANIFEST = re.compile(r"(?:.*/)?manifests/([0-9]{6})-([0-9]{8})-([^/]+)\.json", re.DOTALL)
_PIN = re.compile(r"(?:.*/)?pins/([0-9]{6})-([0-9]{8})\.json", re.DOTALL)
_SNAPSHOT = re.compile(r"([0-9]{6})-([0-9]{8})")
_OBJECT = re.compile(r"data/([0-9]{6}-[0-9]{8})/.+", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where runs go; `prefix` has no slash at either end and may be empty."""

    bucket: str
    prefix: str

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


def parse_destination(url: str) -> Destination | Malformed:
    return total(read_destination, url)


def read_destination(value: object) -> Destination:
    """`s3://bucket/prefix`; the bucket's name by "General purpose bucket naming rules", Amazon S3 User Guide."""
    if not isinstance(value, str) or not value.startswith("s3://"):
        raise Wrong(f"{show(value)} is not s3://bucket/prefix")
    bucket, _, prefix = value.removeprefix("s3://").partition("/")
    if bucket.endswith("--x-s3"):
        raise Wrong(f"{bucket} is a directory bucket, which lists keys in no order: use a general purpose bucket")
    if not _BUCKET.fullmatch(bucket) or ".." in bucket or _ADDRESS.fullmatch(bucket):
        raise Wrong(f"{show(bucket)} is not a bucket name: 3 to 63 of a-z, 0-9, - and .")
    return Destination(bucket, _prefix(prefix.removesuffix("/")))


def _prefix(prefix: str) -> str:
    if not _PREFIX.fullmatch(prefix):
        raise Wrong(f"the prefix {show(prefix)} has characters other than a-z, A-Z, 0-9 and !_.*'()=+@:,~-/")
    if len(prefix) > _LONGEST_PREFIX:
        raise Wrong(f"the prefix is longer than {_LONGEST_PREFIX} characters")
    if prefix and not {"", ".", ".."}.isdisjoint(prefix.split("/")):
        raise Wrong(f"the prefix {show(prefix)} has an empty part, or one that is . or ..")
    return prefix


@dataclass(frozen=True, slots=True)
class Series:
    """The keys of what grows piece by piece, each named by the offset of its first byte (`pieces.py`)."""

    prefix: str
    suffix: str = ""

    def key(self, offset: int) -> str:
        return f"{self.prefix}{offset:0{_OFFSET}d}{self.suffix}"

    def offset(self, key: str) -> int | None:
        """None for a key of something else.

        >>> Series("logs/a.").offset("logs/a.000000000012"), Series("logs/a.").offset("logs/a.b")
        (12, None)
        """
        digits = key.removeprefix(self.prefix).removesuffix(self.suffix)
        if len(digits) < _OFFSET or not (digits.isascii() and digits.isdigit()):
            return None
        return int(digits) if key == self.key(int(digits)) else None


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one run. Names are percent-encoded (RFC 3986, all but unreserved) from the bytes of the file's name."""

    prefix: str
    run: str

    @property
    def base(self) -> str:
        return f"{self.prefix}/{self.run}/" if self.prefix else f"{self.run}/"

    @property
    def run_spec(self) -> str:
        return self.base + "run.json"

    @property
    def epoch(self) -> str:
        return self.base + "epoch.json"

    @property
    def latest(self) -> str:
        return self.base + "latest.json"

    @property
    def status(self) -> str:
        return self.base + "status.json"

    @property
    def gc(self) -> str:
        return self.base + "gc.json"

    @property
    def probe(self) -> str:
        return self.base + "probe.json"

    @property
    def manifests(self) -> str:
        """The prefix of all manifests."""
        return self.base + "manifests/"

    @property
    def pins(self) -> str:
        """The prefix of all pins."""
        return self.base + "pins/"

    def manifest(self, epoch: int, seq: int, checkpoint: str) -> str:
        return self._fitting(f"{self.manifests}{_pair(epoch, seq)}-", _encoded(checkpoint), ".json")

    def data_prefix(self, epoch: int, seq: int) -> str:
        """The prefix of one checkpoint's data."""
        return f"{self.base}data/{_pair(epoch, seq)}/"

    def data(self, epoch: int, seq: int, checkpoint: str, path: str, tail: str = "") -> str:
        return self._fitting(self.data_prefix(epoch, seq), f"{_encoded(checkpoint)}/{_encoded(path, '/')}", tail)

    def pin(self, epoch: int, seq: int) -> str:
        return f"{self.pins}{_pair(epoch, seq)}.json"

    def history(self, epoch: int) -> Series:
        return Series(f"{self.base}history/{_digits(epoch, LAST_EPOCH)}/", ".jsonl")

    def log(self, epoch: int, name: str) -> Series:
        return Series(f"{self.base}logs/{_digits(epoch, LAST_EPOCH)}/{_encoded(name)}.")

    def relative(self, key: str) -> str:
        """`key` as manifests store it. Raises ValueError for a key of another run."""
        if not key.startswith(self.base):
            raise ValueError(f"{key} is not under {self.base}")
        return key.removeprefix(self.base)

    def absolute(self, relative: str) -> str:
        return self.base + relative

    @staticmethod
    def _fitting(head: str, name: str, tail: str = "") -> str:
        key = head + name + tail
        if len(key) <= LONGEST_KEY and all(len(part) <= LONGEST_PART for part in key.split("/")):
            return key
        return f"{head}sha256-{hashlib.sha256(name.encode('ascii')).hexdigest()}{tail}"


def parse_manifest_key(key: str) -> tuple[int, int, str] | Malformed:
    """(epoch, seq, encoded checkpoint) of a whole or a relative key; the checkpoint's true name is in the manifest."""
    found = _MANIFEST.fullmatch(key)
    if found is None:
        return Malformed(f"{show(key)} is not manifests/<epoch>-<seq>-<checkpoint>.json")
    return int(found[1]), int(found[2]), found[3]


def parse_pin_key(key: str) -> tuple[int, int] | Malformed:
    """(epoch, seq) of a whole or a relative key."""
    found = _PIN.fullmatch(key)
    return Malformed(f"{show(key)} is not pins/<epoch>-<seq>.json") if found is None else (int(found[1]), int(found[2]))


def snapshot(epoch: int, seq: int) -> str:
    """How a checkpoint is named where its data prefix is meant: `<epoch>-<seq>`, which nothing else of the run bears."""
    return _pair(epoch, seq)


def read_snapshot(value: object) -> str:
    """What `snapshot` gives. Raises Wrong."""
    if not isinstance(value, str) or not _SNAPSHOT.fullmatch(value):
        raise Wrong(f"{show(value)} is not <epoch, 6 digits>-<seq, 8 digits>")
    return value


def parse_snapshot(name: str) -> tuple[int, int]:
    """(epoch, seq). Raises ValueError."""
    epoch, seq = read_snapshot(name).split("-")
    return int(epoch), int(seq)


def snapshot_of(relative: str) -> str | None:
    """The checkpoint whose data a relative object key belongs to; None where it lies elsewhere.

    >>> snapshot_of("data/000001-00000007/a/b"), snapshot_of("data/1-7/a"), snapshot_of("manifests/000001-00000007-a.json")
    ('000001-00000007', None, None)
    """
    found = _OBJECT.fullmatch(relative)
    return None if found is None else found[1]


def _encoded(name: str, safe: str = "") -> str:
    return quote(file_bytes(name), safe=safe)


def _pair(epoch: int, seq: int) -> str:
    return f"{_digits(epoch, LAST_EPOCH)}-{_digits(seq, LAST_SEQ)}"


def _digits(value: int, last: int) -> str:
    if not 0 <= value <= last:
        raise ValueError(f"{value} is not between 0 and {last}")
    return f"{value:0{len(str(last))}d}"
