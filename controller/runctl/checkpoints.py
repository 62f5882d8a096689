"""The checkpoints of a run, from its manifests in S3: what there is, and bringing one here."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace

from runctl_agent.contract.keys import snapshot, snapshot_of
from runctl_agent.errors import WrongStateError
from runctl_agent.runtime import Runtime, run_pool
from runctl_agent.store.catalog import Catalog, Listing, Ranked
from runctl_agent.store.fetch import Progress
from runctl_agent.store.outline import DataObject, Outline
from runctl_agent.store.restore import Restored, Restorer
from runctl_agent.store.retry import patiently

from .documents import Checkpoint, Pulled
from .shelf import Shelf

WIDTH = 8
"""Objects that are asked for side by side."""


@dataclass(frozen=True, slots=True)
class Committed:
    """One checkpoint, and the URL of its data. `sent`: bytes of it that went to S3; `saved`: those that were there already.

    `missing` None: its objects were not asked for again; else those that are not there as the manifest has them.
    """

    manifest: Outline
    where: str
    missing: tuple[str, ...] | None = None

    @property
    def sent(self) -> int:
        return sum(one.stored for one in self._own()) - self.manifest.copied

    @property
    def saved(self) -> int:
        return sum(one.stored for one in self.manifest.objects) - self.sent

    @property
    def sound(self) -> bool:
        return not self.missing and not self.manifest.unknown

    @property
    def verified(self) -> str:
        """When S3 said last that it has all of it: what is committed was verified before."""
        if self.manifest.unknown:
            return "unknown"
        if self.missing is None:
            return "at commit"
        return f"{len(self.missing)} missing" if self.missing else "now"

    def _own(self) -> Iterable[DataObject]:
        """Each once: a hard link names it again."""
        place = snapshot(self.manifest.epoch, self.manifest.seq)
        return {one.object: one for one in self.manifest.objects if snapshot_of(one.object) == place}.values()

    def plain(self) -> Checkpoint:
        manifest = self.manifest
        return {
            "checkpoint": manifest.checkpoint,
            "step": manifest.step,
            "bytes": manifest.size,
            "epoch": manifest.epoch,
            "seq": manifest.seq,
            "created": manifest.created,
            "complete": manifest.complete,
            "instance": manifest.instance,
            "where": self.where,
            "sent": self.sent,
            "saved": self.saved,
            "verified": self.verified,
            "missing": list(self.missing or ()),
        }


def listing(shelf: Shelf, run: str, runtime: Runtime) -> Listing:
    """Every manifest of the run, newest rank first. Raises StoreError."""
    return Catalog(shelf.store, shelf.keys(run), runtime).listing()


def in_s3(shelf: Shelf, run: str, found: Iterable[Ranked]) -> tuple[Committed, ...]:
    keys = shelf.keys(run)
    return tuple(Committed(one.manifest, shelf.url_of(keys.data_prefix(one.manifest.epoch, one.manifest.seq))) for one in found)


def looked_at(shelf: Shelf, run: str, rows: Iterable[Committed], runtime: Runtime) -> tuple[Committed, ...]:
    """Each with what S3 says of its objects now: size, and checksum where it keeps one. An object is asked for once."""
    rows = tuple(rows)
    wanted = {one.object: one for row in rows for one in row.manifest.objects}
    wrong: set[str] = set()

    def look(one: DataObject) -> None:
        head = patiently(runtime, lambda: shelf.store.head(shelf.keys(run).absolute(one.object)))
        if head is None or (one.sized and head.size != one.stored) or head.crc not in (None, one.crc):
            wrong.add(one.object)

    run_pool(runtime, "verify", WIDTH, look, list(wanted.values()))
    return tuple(replace(row, missing=tuple(sorted({o.object for o in row.manifest.objects} & wrong))) for row in rows)


def pull(shelf: Shelf, run: str, runtime: Runtime, *, destination: str, checkpoint: str, progress: Progress) -> Restored:
    """The newest that verifies, or the one named, into `destination`; what stands there is never overwritten."""
    shelf.store.check_bucket(shelf.keys(run).base)
    try:
        restorer = Restorer(shelf.store, shelf.keys(run), runtime, progress=progress)
        return restorer.restore(destination, checkpoint or None)
    except WrongStateError as error:
        elsewhere = os.path.join(destination, "again")
        raise WrongStateError(error.what, error.why, f"mend that, or pull elsewhere: runctl pull {run} {elsewhere}") from error


def plain_restored(run: str, restored: Restored) -> Pulled:
    manifest = restored.manifest
    return {
        "run": run,
        "path": os.path.abspath(restored.path),
        "checkpoint": manifest.checkpoint,
        "step": manifest.step,
        "bytes": restored.bytes,
        "passed_by": [{"checkpoint": one.checkpoint, "reason": one.reason} for one in restored.passed_by],
    }
