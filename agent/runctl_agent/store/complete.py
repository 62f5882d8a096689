"""Objects of parts: completed, and confirmed by a HEAD."""

from __future__ import annotations

from runctl_agent.errors import BadChecksum, NoSuchUpload, StoreUnavailable

from .journal import Journal, Row
from .objects import ObjectStore
from .outgoing import Outgoing
from .reconcile import holds

REMEMBERED = 64


class Completer:
    """Used from several tasks."""

    def __init__(self, store: ObjectStore, journal: Journal) -> None:
        self._store = store
        self._journal = journal
        self._distrusted: dict[tuple[int, str], None] = {}

    def distrusts_copies(self, row_id: int, path: str) -> bool:
        """Whether this file was not whole with what was copied into it: the next try sends all of it."""
        return (row_id, path) in self._distrusted

    def complete(self, row: Row, file: Outgoing) -> None:
        """Raises StoreError; BadChecksum where the object is not what was sent, which is begun anew."""
        try:
            self._store.complete_multipart(file.key, file.upload_id, file.sent_parts(), file.crc)
        except (StoreUnavailable, NoSuchUpload):
            # The answer may be all that was lost. If not, the next try asks ListParts what is left of the upload.
            if not holds(self._store, file.key, file.stored, file.crc):
                raise
        except BadChecksum:
            self._begin_anew(row, file)
            raise
        else:
            self._confirm(row, file)
        self._journal.completed(row.id, file.path, file.upload_id)
        file.done = True

    def _confirm(self, row: Row, file: Outgoing) -> None:
        if not holds(self._store, file.key, file.stored, file.crc):
            self._begin_anew(row, file)
            raise BadChecksum(
                f"{file.path!a} did not arrive as it was sent",
                f"{file.key} has another size or CRC-32 than its parts",
                "nothing to do: the file is sent again",
            )

    def _begin_anew(self, row: Row, file: Outgoing) -> None:
        self._journal.forget_file(row.id, file.path)
        if any(part.copied for part in file.parts.values()):
            self._distrusted[row.id, file.path] = None
            while len(self._distrusted) > REMEMBERED:
                del self._distrusted[next(iter(self._distrusted))]
