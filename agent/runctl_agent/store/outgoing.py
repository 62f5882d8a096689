"""One file on its way to the store."""

from __future__ import annotations

from dataclasses import dataclass, field

from runctl_agent.contract.keys import Keys
from runctl_agent.contract.manifest import ManifestFile, Part
from runctl_agent.records import StagedFile

from . import crc
from .objects import SentPart
from .piece import digest_of_parts
from .plan import Span, cut
from .progress import FileProgress, PartProgress


@dataclass
class Outgoing:
    """`parts` is what the store has of it, by number; `done`: the store has the object, proven."""

    staged: StagedFile
    key: str
    part_size: int
    upload_id: str = ""
    parts: dict[int, PartProgress] = field(default_factory=dict)
    done: bool = False

    @property
    def path(self) -> str:
        return self.staged.path

    @property
    def size(self) -> int:
        return self.staged.source.size

    @property
    def single(self) -> bool:
        """Goes as a single PUT."""
        return self.size <= self.part_size

    def spans(self) -> list[Span]:
        return cut(self.size, self.part_size)

    def missing(self) -> list[Span]:
        return [] if self.done else [span for span in self.spans() if span.number not in self.parts]

    @property
    def crc(self) -> int:
        """The whole file's, once every part is known."""
        return crc.combine_all((part.crc, part.size) for part in self._ordered())

    @property
    def digest(self) -> str:
        return digest_of_parts(part.digest for part in self._ordered())

    def sent_parts(self) -> list[SentPart]:
        return [SentPart(part.number, part.size, part.etag) for part in self._ordered()]

    def matches(self, progress: FileProgress) -> bool:
        """Whether what the journal remembers was cut in the same way and went to the same key."""
        sizes = {span.number: span.length for span in self.spans()}
        return (
            progress.key == self.key
            and progress.part_size == self.part_size
            and all(sizes.get(part.number) == part.size for part in progress.parts)
        )

    def manifest_file(self, keys: Keys) -> ManifestFile:
        ordered = self._ordered()
        cuts = zip(self.spans(), ordered, strict=True)
        listed = tuple(Part(span.offset, part.size, f"blake3:{part.digest}") for span, part in cuts) if len(ordered) > 1 else ()
        return ManifestFile(
            path=self.path,
            size=self.size,
            mtime_ns=self.staged.source.mtime_ns,
            digest=self.digest,
            crc=self.crc,
            object=keys.relative(self.key),
            parts=listed,
        )

    def _ordered(self) -> list[PartProgress]:
        return [self.parts[number] for number in sorted(self.parts)]
