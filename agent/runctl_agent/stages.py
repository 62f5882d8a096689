"""The two halves of the way, put together: for the daemon, and for `flush`, which drives them by hand."""

from __future__ import annotations

from collections.abc import Callable

from .contract.keys import Keys
from .contract.spec import Spec
from .disk.lock import Locks
from .disk.read import Reader
from .disk.settle import Settler
from .disk.stage import Stager
from .gather import Gatherer
from .intake import Intake
from .lineage import Lineage
from .metrics import textfile
from .pruning import Pruning, Wish
from .publish import Publisher
from .records import Held, ProcessId
from .runtime import Event, Runtime
from .saves import Saves
from .sender import Sender
from .store import codec
from .store.commit import Committer
from .store.course import Course
from .store.dedup import Dedup
from .store.journal import Journal, Row
from .store.pins import Pins
from .store.retain import Retainer
from .store.upload import Uploader
from .surroundings import Reached, Surroundings


def compression(spec: Spec) -> str:
    """What is asked for, where it can be done; `unmet` says where it can't."""
    return "none" if codec.lacks(spec.compression) else spec.compression  # asks for the extra only where it is needed


def gatherer_of(
    runtime: Runtime, spec: Spec, stager: Stager, locks: Locks, journal: Journal, filled: Event, saves: Saves | None = None
) -> Gatherer:
    """watch → settle → stage → journal."""
    readers = {watched.path: Reader(watched) for watched in spec.checkpoints}
    intake = Intake(runtime, list(readers), stager, locks, journal, spec.settle)
    return Gatherer(runtime, readers, Settler(spec.settle), intake, journal, filled, settle=spec.settle, saves=saves)


def sender_of(
    runtime: Runtime,
    spec: Spec,
    keys: Keys,
    journal: Journal,
    stager: Stager,
    locks: Locks,
    reached: Reached,
    committer: Committer,
    gatherer: Gatherer,
    *,
    boot_id: str,
    trainer: Callable[[], ProcessId | None],
    filled: Event,
    wish: Wish | None = None,
    course: Course | None = None,
    cut_short: bool = False,
) -> Sender:
    """journal → upload → commit, and retention, where there is one and `wish` can ask for it."""

    def dropped(row: Row) -> None:
        # Read again. Only a rewriting in place changes what a link holds.
        finished = row.staged.finished
        gatherer.forget(finished.root, finished.name, rewritten=any(file.held is Held.LINK for file in row.staged.files))

    lineage = Lineage(
        runtime,
        journal,
        committer,
        reached.name,
        boot_id,
        backlog=lambda: gatherer.backlog,
        trainer=trainer,
        cut_short=cut_short,
    )
    dedup = Dedup(reached.store, keys, journal) if spec.dedup else None
    pins = Pins(reached.store, keys, runtime)
    uploader = Uploader(
        reached.store, journal, keys, runtime, compression=compression(spec), dedup=dedup, pins=pins, course=course
    )
    pruning = None
    if wish is not None and spec.retention.wanted:
        pruning = Pruning(runtime, Retainer(reached.store, keys, runtime, spec.retention), journal, wish)
    return Sender(
        runtime, spec.run, reached.name, journal, stager, locks, uploader, committer, lineage, filled, dropped, pruning, course
    )


def publisher_of(
    runtime: Runtime,
    spec: Spec,
    journal: Journal,
    around: Surroundings,
    reached: Reached | None,
    status: Callable[[bytes], None] | None,
) -> Publisher:
    """Of the state: to the local file, and once S3 and EC2 are `reached` to `status` and the tags."""
    return Publisher(
        runtime,
        tags=reached.tags if reached is not None else None,
        status=status,
        memory=journal,
        write_local=around.write_status,
        metrics=textfile(spec.metrics.textfile, around.write_metrics) if spec.metrics.textfile else None,
        heartbeat=spec.publish.heartbeat,
        instance=reached.name if reached is not None else "",
    )
