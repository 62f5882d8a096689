"""The checkpoints of a run, from its manifests in S3: what there is, and bringing one here."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from runctl_agent.errors import WrongStateError
from runctl_agent.runtime import Runtime
from runctl_agent.store.catalog import Catalog, Listing, Ranked
from runctl_agent.store.fetch import Progress
from runctl_agent.store.outline import Outline
from runctl_agent.store.restore import Restored, Restorer

from .documents import Checkpoint, Pulled
from .shelf import Shelf


@dataclass(frozen=True, slots=True)
class Committed:
    """One checkpoint, and the URL of its data."""

    manifest: Outline
    where: str

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
        }


def listing(shelf: Shelf, run: str, runtime: Runtime) -> Listing:
    """Every manifest of the run, newest rank first. Raises StoreError."""
    return Catalog(shelf.store, shelf.keys(run), runtime).listing()


def in_s3(shelf: Shelf, run: str, found: Iterable[Ranked]) -> tuple[Committed, ...]:
    keys = shelf.keys(run)
    return tuple(Committed(one.manifest, shelf.url_of(keys.data_prefix(one.manifest.epoch, one.manifest.seq))) for one in found)


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
