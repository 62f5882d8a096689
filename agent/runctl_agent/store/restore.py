"""The newest checkpoint that verifies, from S3 into a local directory.

`latest.json` is a hint that is not asked: the manifests are listed and tried from the highest rank down. A checkpoint
whose data is missing or damaged is passed by, and said so; a store that does not answer is an error, never a reason to
restore something older.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from runctl_agent.contract.files import ZSTD
from runctl_agent.contract.keys import Keys, parse_manifest_key
from runctl_agent.contract.malformed import Malformed
from runctl_agent.contract.manifest import Manifest
from runctl_agent.errors import BadChecksum, NotFoundError, WrongStateError
from runctl_agent.runtime import Runtime

from . import codec
from .catalog import Catalog, Ranked
from .fetch import Fetcher, Progress, unheard
from .folder import Owner
from .landing import Landing, Present
from .objects import ObjectStore

MANIFESTS = "manifests/"


class PassedBy(NamedTuple):
    """A checkpoint that ranks above the restored one, and why it was not taken.

    Where its manifest can't be read, that one's relative key, if it was written later: its rank is not known.
    """

    checkpoint: str
    reason: str


@dataclass(frozen=True, slots=True)
class Restored:
    """`path` is the checkpoint's own file or directory, for `final` the destination; `bytes` is what was fetched.

    `signature` is `records.signature` of its files when their content was verified.
    """

    path: str
    manifest: Manifest
    passed_by: tuple[PassedBy, ...]
    bytes: int
    signature: str


Arriving = Callable[[str, Manifest, str], None]
"""Told which checkpoint is about to be moved into place, by its manifest's relative key, and the signature it will have there."""


class Restorer:
    """`malformed` has the (key, reason) of each manifest that could not be read, from the last look."""

    def __init__(
        self,
        store: ObjectStore,
        keys: Keys,
        runtime: Runtime,
        owner: Owner | None = None,
        arriving: Arriving = lambda key, manifest, signature: None,
        progress: Progress = unheard,
    ) -> None:
        self._keys = keys
        self._runtime = runtime
        self._owner = owner
        self._arriving = arriving
        self._catalog = Catalog(store, keys, runtime)
        self._fetcher = Fetcher(store, keys, runtime, owner, progress)
        self.malformed: tuple[tuple[str, str], ...] = ()

    def candidates(self) -> tuple[Ranked, ...]:
        """Every complete checkpoint, highest rank first."""
        return tuple(one for one in self._listed() if one.manifest.complete)

    def restore(self, destination: str, checkpoint: str | None = None) -> Restored:
        """Restore the highest rank that verifies, or of those named `checkpoint`; nothing that is there is overwritten.

        Raises NotFoundError, WrongStateError (something else stands there; no room; no access), StoreError.
        """
        wanted = self._wanted(checkpoint)
        try:
            with Landing(destination, self._owner) as landing:
                return self._first_that_verifies(wanted, landing)
        except OSError as error:
            raise WrongStateError(
                f"nothing was restored into {destination!r}",
                f"{error.strerror} ({error.filename!r})" if error.filename else error.strerror or str(error),
                "mend that, or restore elsewhere with --to",
            ) from error

    def _listed(self) -> tuple[Ranked, ...]:
        listing = self._catalog.listing()
        self.malformed = tuple(one for one in listing.malformed if one[0].startswith(MANIFESTS))
        return listing.ranked

    def _wanted(self, checkpoint: str | None) -> Sequence[Ranked]:
        listed = self._listed()
        complete = [one for one in listed if one.manifest.complete]
        wanted = [one for one in complete if checkpoint is None or one.manifest.checkpoint == checkpoint]
        if wanted:
            return wanted
        if checkpoint is not None and complete:
            raise self._no_such(checkpoint, listed)
        raise NotFoundError(
            f"there is no checkpoint to restore under {self._keys.base}",
            _nothing_because(len(listed), len(self.malformed)),
            "check the run's name and the destination",
        )

    def _no_such(self, checkpoint: str, listed: Sequence[Ranked]) -> NotFoundError:
        names = list(dict.fromkeys(one.manifest.checkpoint for one in listed if one.manifest.complete))
        near = difflib.get_close_matches(checkpoint, names, n=3) or names[:3]
        incomplete = any(one.manifest.checkpoint == checkpoint for one in listed)
        return NotFoundError(
            f"there is no checkpoint {checkpoint!r} to restore under {self._keys.base}",
            "it was committed, but never complete" if incomplete else f"{len(names)} others are there",
            "choose one that is there: " + ", ".join(map(repr, near)),
        )

    def _first_that_verifies(self, wanted: Sequence[Ranked], landing: Landing) -> Restored:
        passed: list[PassedBy] = []
        for one in wanted:
            outcome = self._take(one, landing)
            if not isinstance(outcome, str):
                manifest, fetched, seen = outcome
                unread = self._unread_after(manifest)
                return Restored(landing.place(manifest), manifest, (*unread, *passed), fetched, seen)
            passed.append(PassedBy(one.manifest.checkpoint, outcome))
        raise NotFoundError(
            f"no checkpoint under {self._keys.base} verifies",
            "; ".join(f"{one.checkpoint!r}: {one.reason}" for one in passed),
            "see what was deleted there; a versioned bucket may still have it",
        )

    def _unread_after(self, manifest: Manifest) -> Iterator[PassedBy]:
        for key, reason in self.malformed:
            place = parse_manifest_key(key)
            if isinstance(place, Malformed) or place[:2] > (manifest.epoch, manifest.seq):
                yield PassedBy(key, f"its manifest can't be read: {reason}")

    def _take(self, one: Ranked, landing: Landing) -> tuple[Manifest, int, str] | str:
        """What it is, the bytes fetched, and the signature; or why it can't be had."""
        if one.manifest.unknown:
            return one.manifest.unknown
        manifest = self._catalog.whole(one)
        if isinstance(manifest, str):
            return manifest
        seen = landing.signature(manifest)  # before the content is read: a change meanwhile shows
        present = landing.present(manifest)
        landing.sweep(keep=None if present in (Present.SAME, Present.OTHER) else manifest)
        if present is Present.SAME:
            return manifest, 0, seen
        if reason := self._catalog.missing(one.manifest):
            return reason
        if present is Present.OTHER:
            raise landing.occupied(manifest)
        if any(file.encoding == ZSTD for file in manifest.files):
            codec.require()  # what can be mended is no reason to restore an older one
        return self._bring(one.key, manifest, landing)

    def _bring(self, key: str, manifest: Manifest, landing: Landing) -> tuple[Manifest, int, str] | str:
        seen = ""

        def settled(signature: str) -> None:
            nonlocal seen
            seen = signature
            self._arriving(key, manifest, signature)

        try:
            with landing.tree(manifest, self._runtime.nonce()) as tree:
                fetched = self._fetcher.fetch(manifest.files, tree)
                landing.settle(manifest, tree, settled)
        except (BadChecksum, NotFoundError) as error:
            return str(error)
        return manifest, fetched, seen


def _nothing_because(incomplete: int, malformed: int) -> str:
    if not incomplete and not malformed:
        return "nothing was committed yet"
    return f"{incomplete} were committed incomplete, {malformed} manifests can't be read"
