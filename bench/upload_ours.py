"""One checkpoint, from its files on disk to its commit, as the agent does it: `python -m bench.upload_ours FOLDER PREFIX STATE`.

Staged, journaled on disk, hashed, checksummed, sent, confirmed by HEAD, committed under an epoch of its own.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from bench.sink_state import BUCKET
from runctl_agent.contract.keys import Keys
from runctl_agent.contract.manifest import Manifest, Rank
from runctl_agent.disk.stage import Stager
from runctl_agent.records import FileEntry, FileId, Finished, Kind, Staged
from runctl_agent.runtime import ThreadRuntime
from runctl_agent.store.commit import Committer
from runctl_agent.store.journal import HeldEpoch, Journal
from runctl_agent.store.s3 import S3Store
from runctl_agent.store.upload import Uploader


@dataclass(frozen=True)
class Source:
    stager: Stager
    staged: Staged

    def open(self, path: str) -> int:
        return self.stager.open(self.staged, path)

    def verify(self) -> None:
        self.stager.verify(self.staged)


def finished(folder: Path, at: float) -> Finished:
    files = []
    for path in sorted(folder.iterdir()):
        found = path.stat()
        files.append(FileEntry(path.name, FileId(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)))
    return Finished(str(folder.parent), folder.name, Kind.DIRECTORY, 1, True, True, tuple(files), at)


def send(folder: Path, prefix: str, state: Path) -> None:
    runtime = ThreadRuntime()
    keys = Keys(prefix, "run")
    state.mkdir(parents=True, exist_ok=True)
    stager = Stager(str(state), keep_free=0, roots=[str(folder.parent)])
    journal = Journal(str(state / "journal.db"), owner="bench", alive=lambda owner: False)
    with S3Store(BUCKET) as store:
        committer = Committer(store, keys, runtime, "run", "bench")
        committer.prove_conditional_writes()
        epoch = committer.take_epoch("boot")
        committer.seal(epoch.epoch)
        journal.take_epoch(HeldEpoch(epoch.epoch, epoch.nonce, 0, runtime.now()), [])
        done = finished(folder, runtime.now())
        journal.add(stager.stage(done, copy=False, label="bench"), runtime.now())
        row = journal.claim(runtime.now())
        if row is None or row.epoch is None or row.seq is None:
            raise RuntimeError("nothing to send")
        files = Uploader(store, journal, keys, runtime).send(row, Source(stager, row.staged))
        rank = Rank(True, row.epoch, done.step, row.seq)
        outcome = committer.commit(
            Manifest(
                run="run",
                epoch=row.epoch,
                seq=row.seq,
                checkpoint=done.name,
                step=done.step,
                rank=rank,
                kind=done.kind.value,
                complete=True,
                created=runtime.now(),
                instance="bench",
                files=files,
                directory=done.root,
            )
        )
        if not outcome.latest_moved:
            raise RuntimeError("it was not committed")
        journal.committed(row.id, outcome.key, runtime.now())
        stager.release(row.staged)
    journal.close()


if __name__ == "__main__":
    send(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
