"""What an earlier checkpoint of this run has stored already, so that it is referenced or copied and not sent again.

All of it only spares work: whatever goes wrong here, the file is sent.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping

from runctl_agent.contract.keys import Keys, snapshot, snapshot_of
from runctl_agent.contract.malformed import Malformed
from runctl_agent.contract.manifest import ManifestFile
from runctl_agent.errors import NotFoundError, StoreError
from runctl_agent.records import Kind

from .alike import Equal, Known, parts_of
from .catalog import read_manifest
from .journal import Journal
from .objects import ObjectStore, Source
from .reconcile import holds
from .stored import StoredFile

log = logging.getLogger(__name__)

REMEMBERED = 2
"""Manifests, and thereby lists of parts, kept in memory."""


class Dedup:
    """Used from several tasks; what two of them ask for at once is asked twice."""

    def __init__(self, store: ObjectStore, keys: Keys, journal: Journal) -> None:
        self._store = store
        self._keys = keys
        self._journal = journal
        self._manifests: OrderedDict[str, Mapping[str, Known]] = OrderedDict()
        self._etags: OrderedDict[str, str] = OrderedDict()

    def base(self, checkpoint: str, kind: Kind, path: str, size: int) -> Known | None:
        """The same file of the checkpoint before."""
        found = self._journal.stored_before(checkpoint, kind.value, path, size)
        return None if found is None else self._known(found)

    def possible(self, size: int) -> bool:
        """Whether any stored file has this size."""
        return self._journal.stored_possible(size)

    def alike(self, size: int, head: str) -> list[Known]:
        """The newest few stored files of this size with this digest of the first content part: one may be the same."""
        known: list[Known] = []
        for found in self._journal.stored_alike(size, head):
            one = self._known(found)
            if one is not None and one.file.size == size:
                known.append(one)
                if len(parts_of(one.file)) == 1:
                    break  # the others are the same, and each would take the reading of another manifest
        return known

    def stands(self, file: ManifestFile) -> bool:
        """Whether the store still has the object whole."""
        try:
            return bool(holds(self._store, self._keys.absolute(file.object), file.stored, file.crc))
        except (StoreError, NotFoundError) as error:
            log.info("%s is sent, not referenced: %s", file.path, error)
            return False

    def source(self, base: ManifestFile, equal: Equal) -> Source | None:
        """Where to copy from, as the object is now; None if it is not what the manifest says."""
        key = self._keys.absolute(base.object)
        etag = self._etags.get(key)
        if etag is None:
            head = self._store.head(key)
            if head is None or head.size != base.stored or head.crc not in (base.crc, None):
                return None
            etag = self._etags[key] = head.etag
            while len(self._etags) > REMEMBERED:
                self._etags.popitem(last=False)
        return Source(key, etag, equal.offset, equal.length)

    def _known(self, found: StoredFile) -> Known | None:
        return self._files(found.manifest).get(found.path)

    def _files(self, key: str) -> Mapping[str, Known]:
        """By path, what a manifest lists and may be referenced."""
        known = self._manifests.get(key)
        if known is not None:
            return known
        try:
            got = self._store.get(self._keys.absolute(key))
        except (StoreError, NotFoundError) as error:
            log.info("nothing is taken over from %s: %s", key, error)
            return {}
        manifest = None if got is None else read_manifest(self._keys, key, got.body)
        if manifest is None or isinstance(manifest, Malformed):
            return {}
        through = snapshot(manifest.epoch, manifest.seq)
        # What lies elsewhere than in a checkpoint's own data can't be pinned.
        files = {file.path: Known(file, through) for file in manifest.files if snapshot_of(file.object) is not None}
        self._manifests[key] = files
        while len(self._manifests) > REMEMBERED:
            self._manifests.popitem(last=False)
        return files
