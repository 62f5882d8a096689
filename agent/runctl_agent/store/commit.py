"""The commit protocol. A checkpoint exists if and only if its manifest does.

The order of writes:

1. Every data object MUST be whole in S3, confirmed by a HEAD, before the manifest is put (the uploader's part).
2. The manifest MUST be put with `If-None-Match: *`; one that stands is never overwritten.
3. `latest.json` MUST NOT be touched if its fence is above the writer's epoch, MUST NOT move to a lower rank, and MUST
   NOT name an incomplete checkpoint or one whose manifest is not there.
4. `latest.json` SHOULD move right after the manifest. If it does not, nothing is lost: restore lists the manifests.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from runctl_agent.contract.keys import Keys
from runctl_agent.contract.malformed import Malformed
from runctl_agent.contract.manifest import Epoch, Latest, Manifest, ManifestFile, encode_manifest, order
from runctl_agent.errors import CommitConflict, Fenced, StoreError, StoreUnavailable
from runctl_agent.runtime import Runtime

from .catalog import Catalog, Ranked, read_manifest
from .conditional import put_conditionally
from .epoch import EpochTaker
from .objects import Got, ObjectStore
from .outline import outline
from .pointer import Pointer
from .probe import prove_conditional_writes
from .retry import pause
from .seal import Sealer, fenced

RACES = 20


@dataclass(frozen=True, slots=True)
class Committed:
    """`key` is the manifest's, relative to the run. `fenced`, with its `reason`: a newer writer has this run."""

    key: str
    latest_moved: bool
    fenced: bool
    reason: str = ""


class Committer:
    """The only writer of manifests and of `latest.json`. One task at a time."""

    def __init__(self, store: ObjectStore, keys: Keys, runtime: Runtime, run: str, instance: str) -> None:
        if run != keys.run:
            raise ValueError(f"keys of the run {keys.run!r} for the run {run!r}")
        self._store = store
        self._keys = keys
        self._runtime = runtime
        self._instance = instance
        self._epochs = EpochTaker(store, keys, runtime)
        self._pointer = Pointer(store, keys, runtime)
        self._held = 0

    def prove_conditional_writes(self) -> None:
        """Raises StoreRefused if the store ignores conditions: then nothing may be committed."""
        prove_conditional_writes(self._store, self._keys, self._runtime)

    def take_epoch(self, boot_id: str, *, cut_short: bool = False) -> Epoch:
        """`cut_short`: the attempt before was, by whatever took its machine: then it counts, unless it made progress."""

        def attempts(before: Epoch) -> int:
            if (before.instance, before.boot_id) == (self._instance, boot_id):
                return before.attempts_without_progress
            if not cut_short or self._progressed(before.epoch):
                return 0
            return before.attempts_without_progress + 1

        epoch = self._epochs.take(self._instance, boot_id, self._runtime.now(), attempts)
        self._held = epoch.epoch
        return epoch

    def still_holds(self, epoch: int, nonce: str) -> bool:
        """Whether `epoch.json` still bears this epoch with this nonce."""
        holder = self._epochs.holder()
        if holder is None or (holder.epoch, holder.nonce) != (epoch, nonce):
            return False
        self._held = max(self._held, epoch)
        return True

    def overtaken(self, epoch: int) -> bool:
        """Whether `epoch.json` bears a higher epoch, of another instance: then `epoch` is nobody else's, and fenced."""
        holder = self._epochs.holder()
        if holder is None or holder.epoch <= epoch or holder.instance == self._instance:
            return False
        self._held = max(self._held, epoch)
        return True

    def _progressed(self, epoch: int) -> bool:
        """Whether something that a training can resume from was committed under that epoch."""
        listed = Catalog(self._store, self._keys, self._runtime).listing().ranked
        return any(one.manifest.epoch == epoch and one.manifest.complete and one.manifest.rank.weights for one in listed)

    def fence(self) -> int:
        """The lowest epoch that may touch `latest.json`; 0 if there is none."""
        return self._pointer.read().fence

    def fenced_by(self, epoch: int) -> str:
        """Who has taken the run from the holder of `epoch`, for people; empty: nobody."""
        fence = self.fence()
        return str(fenced(self._keys, fence, epoch)) if fence > epoch else ""

    def problems(self) -> list[str]:
        """What was found damaged, one sentence each."""
        return list(self._epochs.problems)

    def seal(self, epoch: int) -> Latest:
        """Fence older writers off and let `latest.json` name the highest rank that verifies. Raises Fenced."""
        return Sealer(self._store, self._keys, self._runtime).seal(epoch)

    def commit(self, manifest: Manifest) -> Committed:
        """Make a checkpoint exist whose data is in S3, then point to it if it is the newest.

        Doing it again after a kill or an error is harmless. Raises CommitConflict; StoreError when the manifest or the
        pointer could not be decided: commit again.
        """
        ranked = self._put_manifest(manifest if manifest.nonce else replace(manifest, nonce=self._runtime.nonce()))
        return self._point(ranked)

    def _put_manifest(self, manifest: Manifest) -> Ranked:
        key, body = self._document(manifest)
        # This line makes the checkpoint exist. All its data is in S3 before it, and the pointer moves after it.
        outcome = put_conditionally(self._store, self._runtime, key, body, manifest.nonce)
        relative = self._keys.relative(key)
        standing = manifest
        if outcome.standing is not None and outcome.standing.body != body:
            standing = self._standing(relative, manifest, outcome.standing)
        return Ranked(relative, outline(standing))

    def _document(self, manifest: Manifest) -> tuple[str, bytes]:
        """The manifest's key and body."""
        try:
            key = self._keys.manifest(manifest.epoch, manifest.seq, manifest.checkpoint)
            return key, encode_manifest(manifest)
        except ValueError as error:
            what = f"the checkpoint {manifest.checkpoint!r} can't be described in a manifest"
            raise StoreError(what, str(error), "rename it, or exclude it in the run spec") from error

    def _standing(self, relative: str, ours: Manifest, got: Got) -> Manifest:
        """The manifest that stands, if it is this very checkpoint, committed before by ourselves.

        Its data may lie elsewhere: what an earlier try could still name may have been condemned since, and sent in this one.
        """
        other = read_manifest(self._keys, relative, got.body)
        if isinstance(other, Malformed):
            raise _conflict(self._keys.absolute(relative), f"what stands there can't be read: {other.reason}")
        if _content(other) != _content(ours):
            raise _conflict(self._keys.absolute(relative), f"{other.instance} committed another content there")
        return other

    def _point(self, ours: Ranked) -> Committed:
        # What was staged before this agent took its epoch carries a lower one; the agent is who may move the pointer.
        own = max(self._held, ours.manifest.epoch)
        for race in range(RACES):
            if race:
                pause(self._runtime, race)
            seen = self._pointer.read()
            if seen.fence > own:
                return Committed(ours.key, False, True, str(fenced(self._keys, seen.fence, own)))
            if not ours.manifest.complete:
                return Committed(ours.key, False, False)
            if seen.latest is None:
                return self._point_anew(ours, own)
            if not _is_newer(ours, seen.latest):
                return Committed(ours.key, False, False)
            if self._pointer.swap(seen, ours, own) is not None:
                return Committed(ours.key, True, False)
        raise StoreUnavailable(f"{self._keys.latest} was lost to another writer {RACES} times", "too many writers at once")

    def _point_anew(self, ours: Ranked, own: int) -> Committed:
        """`latest.json` is absent or damaged, so it does not say what it must not fall below: the manifests do."""
        try:
            latest = self.seal(own)
        except Fenced as error:
            return Committed(ours.key, False, True, str(error))
        return Committed(ours.key, latest.manifest == ours.key, False)


def _content(manifest: Manifest) -> Manifest:
    """What the checkpoint is, without who wrote it down when, and where its bytes lie. The digests tell the bytes."""
    files = tuple(ManifestFile(file.path, file.size, file.mtime_ns, file.digest, 0, file.path) for file in manifest.files)
    return replace(manifest, nonce="", created=0.0, files=files)


def _is_newer(ours: Ranked, latest: Latest) -> bool:
    if latest.rank is None or latest.manifest is None:
        return True
    return ours.order > order(latest.rank, latest.manifest)


def _conflict(key: str, why: str) -> CommitConflict:
    return CommitConflict(
        f"{key} was not committed: it exists already",
        why,
        "two agents may share one run and state directory: give one of them another run name",
    )
