"""One file on its way to the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from runctl_agent.contract.files import IDENTITY, ZSTD
from runctl_agent.contract.keys import Keys
from runctl_agent.contract.manifest import ManifestFile, Part
from runctl_agent.records import StagedFile

from . import codec, crc
from .alike import Equal, Known
from .objects import SentPart
from .piece import Facts, digest_of_parts
from .plan import Span, cut
from .progress import FileProgress, PartProgress


@dataclass
class Outgoing:
    """`keys`: by encoding. `content`: bytes of a content part, each with a digest of its own; `grouped`: how many of them
    are one part of the upload.

    `parts` is what the store has of it, by number; `done`: the store has the object, proven. `base`: what it is a successor
    of; `equal`: its parts that `base` has, read and not sent. `reference`: the whole is stored already, unless that was
    `refused`. `claimed`: somebody is completing it.
    """

    staged: StagedFile
    keys: Mapping[str, str]
    content: int
    lock: AbstractContextManager[object]
    encoding: str = IDENTITY
    grouped: int = 1
    sampled: float | None = None
    upload_id: str = ""
    parts: dict[int, PartProgress] = field(default_factory=dict)
    done: bool = False
    base: Known | None = None
    equal: dict[int, tuple[Equal, Facts]] = field(default_factory=dict)
    reference: Known | None = None
    refused: bool = False
    claimed: bool = False

    @property
    def path(self) -> str:
        return self.staged.path

    @property
    def size(self) -> int:
        return self.staged.source.size

    @property
    def key(self) -> str:
        return self.keys[self.encoding]

    @property
    def part_size(self) -> int:
        """Content bytes in one part of the upload."""
        return self.content * self.grouped

    @property
    def single(self) -> bool:
        """Goes as a single PUT."""
        return self.size <= self.part_size

    def spans(self) -> list[Span]:
        return cut(self.size, self.part_size)

    def contents(self, span: Span) -> list[Span]:
        """The content parts of one part of the upload."""
        return [Span(number, span.offset + offset, length) for number, offset, length in cut(span.length, self.content)]

    def is_last(self, span: Span) -> bool:
        return span.offset + span.length == self.size

    @property
    def stands(self) -> bool:
        return self.done or self.reference is not None

    def missing(self) -> list[Span]:
        """What has to be read: neither stored nor known to be elsewhere."""
        if self.stands:
            return []
        return [span for span in self.spans() if span.number not in self.parts and span.number not in self.equal]

    def to_copy(self) -> list[Span]:
        if self.stands:
            return []
        return [span for span in self.spans() if span.number in self.equal and span.number not in self.parts]

    def claim_completion(self) -> bool:
        """Whether the store has every part, and nobody else was told so before."""
        with self.lock:
            claimed = not (self.claimed or self.stands or self.single) and len(self.parts) == len(self.spans())
            self.claimed = self.claimed or claimed
        return claimed

    def refuse(self) -> None:
        """It has to be stored anew, out of nothing but what is on disk."""
        self.reference, self.base, self.refused = None, None, True
        self.equal.clear()

    @property
    def stored(self) -> int:
        """Bytes of the object, once every part is known."""
        return sum(part.stored for part in self.parts.values())

    @property
    def crc(self) -> int:
        """The whole object's, once every part is known."""
        return crc.combine_all((part.crc, part.stored) for part in self._ordered())

    def sent_parts(self) -> list[SentPart]:
        return [SentPart(part.number, part.stored, part.etag) for part in self._ordered()]

    def adopt(self, progress: FileProgress) -> bool:
        """Go on with what the journal remembers; False if that was cut in another way, went to another key, or can't be gone on
        with here."""
        grouped, odd = divmod(progress.part_size, self.content)
        if progress.key != self.keys.get(progress.encoding) or odd or grouped < 1:
            return False
        if progress.encoding == IDENTITY and grouped != 1:
            return False
        if progress.encoding == ZSTD and not progress.done and not codec.available():  # the extra is gone since
            return False
        sizes = {span.number: span.length for span in cut(self.size, progress.part_size)}
        if any(sizes.get(part.number) != part.size for part in progress.parts):
            return False
        self.encoding, self.grouped, self.sampled = progress.encoding, grouped, progress.sampled
        return True

    def manifest_file(self, keys: Keys) -> ManifestFile:
        if self.reference is not None:
            named = replace(self.reference.file, path=self.path, mtime_ns=self.staged.source.mtime_ns)
            return replace(named, sampled=None, copied=0)
        ordered = self._ordered()
        digests = [digest for part in ordered for digest in part.digests]
        return ManifestFile(
            path=self.path,
            size=self.size,
            mtime_ns=self.staged.source.mtime_ns,
            digest=digest_of_parts(digests),
            crc=self.crc,
            object=keys.relative(self.key),
            encoding=self.encoding,
            parts=tuple(self._listed(digests)) if len(digests) > 1 or self.encoding == ZSTD else (),
            sampled=self.sampled,
            copied=sum(part.size for part in ordered if part.copied),
        )

    def _listed(self, digests: list[str]) -> Iterable[Part]:
        frames = [frame for part in self._ordered() for frame in part.frames]
        for at, (span, digest) in enumerate(zip(cut(self.size, self.content), digests, strict=True)):
            stored, of = frames[at] if frames else (None, None)
            yield Part(span.offset, span.length, f"blake3:{digest}", stored, of)

    def _ordered(self) -> list[PartProgress]:
        return [self.parts[number] for number in sorted(self.parts)]
