"""How far each upload got: the journal's files, parts, and the aborts it owes."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass

from runctl_agent.contract.files import IDENTITY
from runctl_agent.errors import JournalError

from . import stored, sums
from .database import Database
from .piece import Frame
from .rows import Trouble


@dataclass(frozen=True, slots=True)
class PartProgress:
    """A part the store has: `size` bytes of content, `crc` the CRC-32 of what it stored of them.

    `digests` are those of the content parts, BLAKE3 in hexadecimal; `frames` what each takes where it is compressed;
    `copied`: inside S3, from another object.
    """

    number: int
    size: int
    etag: str
    crc: int
    digests: tuple[str, ...]
    frames: tuple[Frame, ...] = ()
    copied: bool = False

    @property
    def stored(self) -> int:
        """Bytes in the store."""
        return sum(frame.stored for frame in self.frames) if self.frames else self.size


@dataclass(frozen=True, slots=True)
class FileProgress:
    """A file's upload. `upload_id` is empty for a single PUT, whose one part is there once `done`."""

    path: str
    key: str
    upload_id: str
    part_size: int
    encoding: str
    sampled: float | None
    done: bool
    parts: tuple[PartProgress, ...]


@dataclass(frozen=True, slots=True)
class OwedAbort:
    """A multipart upload of ours that nobody will complete, and why it is still there."""

    row_id: int
    key: str
    upload_id: str
    attempts: int
    next_try: float
    error: str


class Progress:
    """The journal's half that tells how far the uploads got. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def mark(self) -> int:
        """Of the newest row: what is journaled from now on comes after it."""
        with self._database.read() as connection:
            (newest,) = connection.execute("SELECT coalesce(max(id), 0) FROM rows").fetchone()
        return int(newest)

    def pending_up_to(self, mark: int) -> int:
        """How many of what was journaled when `mark` was taken are not committed."""
        with self._database.read() as connection:
            found = connection.execute("SELECT count(*) FROM rows WHERE state = 'staged' AND id <= ?", (mark,)).fetchone()
        return int(found[0])

    def trouble(self) -> Trouble:
        with self._database.read() as connection:
            return sums.trouble(connection)

    def foreign(self, root: str, name: str, signature: str, now: float) -> None:
        """This content is not the training's: it is never sent, and supersedes nothing."""
        values = (os.fsencode(root), os.fsencode(name), signature, now, now)
        with self._database.write() as connection:
            connection.execute(
                """INSERT OR IGNORE INTO rows
                (state, root, name, signature, complete, weights, finished_at, added_at, size, manifest)
                VALUES ('committed', ?, ?, ?, 0, 0, ?, ?, 0, '')""",
                values,
            )

    def start_upload(
        self,
        row_id: int,
        path: str,
        key: str,
        upload_id: str,
        part_size: int,
        encoding: str = IDENTITY,
        sampled: float | None = None,
    ) -> None:
        """Remember a multipart upload, in the place of what was known of this file."""
        with self._database.write() as connection:
            _forget(connection, row_id, os.fsencode(path))
            connection.execute(
                "INSERT INTO files (row, path, key, upload_id, part_size, encoding, sampled) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (row_id, os.fsencode(path), key, upload_id, part_size, encoding, sampled),
            )

    def part_done(self, row_id: int, path: str, upload_id: str, part: PartProgress) -> None:
        """Remember a part. Raises JournalError if the upload it belongs to is not the file's own any more."""
        where = (row_id, os.fsencode(path))
        with self._database.write() as connection:
            before = connection.execute(
                "SELECT size FROM parts WHERE row = ? AND path = ? AND number = ?", (*where, part.number)
            ).fetchone()
            grown = part.size - (before[0] if before else 0)
            found = connection.execute(
                "UPDATE files SET sent = sent + ? WHERE row = ? AND path = ? AND upload_id = ?", (grown, *where, upload_id)
            )
            _one_changed(found, path)
            _put_part(connection, where, part)

    def put_done(
        self,
        row_id: int,
        path: str,
        key: str,
        part_size: int,
        part: PartProgress,
        encoding: str = IDENTITY,
        sampled: float | None = None,
    ) -> None:
        """Remember that the store has the whole file, by a single PUT."""
        where = (row_id, os.fsencode(path))
        with self._database.write() as connection:
            _forget(connection, *where)
            connection.execute(
                """INSERT INTO files (row, path, key, upload_id, part_size, encoding, sampled, sent, done)
                VALUES (?, ?, ?, '', ?, ?, ?, ?, 1)""",
                (*where, key, part_size, encoding, sampled, part.size),
            )
            _put_part(connection, where, part)

    def completed(self, row_id: int, path: str, upload_id: str) -> None:
        """The store made an object of the parts. Raises JournalError if the upload is not the file's own any more."""
        where = (row_id, os.fsencode(path))
        with self._database.write() as connection:
            found = connection.execute(
                "UPDATE files SET done = 1 WHERE row = ? AND path = ? AND upload_id = ?", (*where, upload_id)
            )
            _one_changed(found, path)

    def forget_file(self, row_id: int, path: str) -> None:
        """Begin this file anew; what was open is owed an abort."""
        with self._database.write() as connection:
            _forget(connection, row_id, os.fsencode(path))

    def files(self, row_id: int) -> list[FileProgress]:
        with self._database.read() as connection:
            parts: dict[bytes, list[PartProgress]] = {}
            for path, *part in connection.execute(
                """SELECT path, number, size, etag, crc, digests, frames, copied FROM parts
                WHERE row = ? ORDER BY path, number""",
                (row_id,),
            ):
                parts.setdefault(path, []).append(_part(*part))
            return [
                FileProgress(os.fsdecode(path), key, upload, size, encoding, sampled, bool(done), tuple(parts.get(path, ())))
                for path, key, upload, size, encoding, sampled, done in connection.execute(
                    """SELECT path, key, upload_id, part_size, encoding, sampled, done FROM files
                    WHERE row = ? ORDER BY path""",
                    (row_id,),
                )
            ]

    def abandon_uploads(self, row_id: int) -> None:
        """Owe an abort for every open upload of a row, and forget its progress."""
        with self._database.write() as connection:
            forget_row(connection, row_id)

    def owed_aborts(self, row_id: int | None = None) -> list[OwedAbort]:
        """All, or those of one row, in the order of their keys."""
        with self._database.read() as connection:
            return [
                OwedAbort(row, key, upload, attempts, next_try, error.decode("utf-8", "surrogatepass"))
                for row, key, upload, attempts, next_try, error in connection.execute(
                    """SELECT row, key, upload_id, attempts, next_try, error FROM aborts
                    WHERE ?1 IS NULL OR row = ?1 ORDER BY key, upload_id""",
                    (row_id,),
                )
            ]

    def abort_done(self, owed: OwedAbort) -> None:
        with self._database.write() as connection:
            connection.execute("DELETE FROM aborts WHERE key = ? AND upload_id = ?", (owed.key, owed.upload_id))

    def abort_failed(self, owed: OwedAbort, *, error: str, next_try: float) -> None:
        with self._database.write() as connection:
            connection.execute(
                "UPDATE aborts SET attempts = attempts + 1, error = ?, next_try = ? WHERE key = ? AND upload_id = ?",
                (error.encode("utf-8", "surrogatepass"), next_try, owed.key, owed.upload_id),
            )

    # --- what the store has of files that were committed ---

    def stored_before(self, checkpoint: str, kind: str, path: str, size: int) -> stored.StoredFile | None:
        """The file that a new one is a successor of, if there is one."""
        with self._database.read() as connection:
            return stored.before(connection, checkpoint, kind, path, size)

    def stored_possible(self, size: int) -> bool:
        """Whether any stored file has this size."""
        with self._database.read() as connection:
            return stored.possible(connection, size)

    def stored_alike(self, size: int, head: str) -> list[stored.StoredFile]:
        """Files of this size, and with this digest of the first content part."""
        with self._database.read() as connection:
            return stored.alike(connection, size, head)


def forget_row(connection: sqlite3.Connection, row_id: int) -> None:
    """Within a transaction of the caller's."""
    for (path,) in connection.execute("SELECT path FROM files WHERE row = ?", (row_id,)).fetchall():
        _forget(connection, row_id, path)


def _forget(connection: sqlite3.Connection, row_id: int, path: bytes) -> None:
    connection.execute(
        """INSERT OR IGNORE INTO aborts (key, upload_id, row)
        SELECT key, upload_id, row FROM files WHERE row = ? AND path = ? AND done = 0 AND upload_id <> ''""",
        (row_id, path),
    )
    connection.execute("DELETE FROM parts WHERE row = ? AND path = ?", (row_id, path))
    connection.execute("DELETE FROM files WHERE row = ? AND path = ?", (row_id, path))


def _one_changed(done: sqlite3.Cursor, path: str) -> None:
    if done.rowcount != 1:
        raise JournalError(f"the upload of {path!a} was given up by another runctl-agent")


def _put_part(connection: sqlite3.Connection, where: tuple[int, bytes], part: PartProgress) -> None:
    frames = " ".join(f"{frame.stored}:{frame.crc}" for frame in part.frames)
    connection.execute(
        "INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*where, part.number, part.size, part.etag, part.crc, " ".join(part.digests), frames, part.copied),
    )
    if not part.copied:
        _count(connection, part.size)


def _part(number: int, size: int, etag: str, crc: int, digests: str, frames: str, copied: int) -> PartProgress:
    pairs = (frame.split(":") for frame in frames.split())
    listed = tuple(Frame(int(stored), int(of)) for stored, of in pairs)
    return PartProgress(number, size, etag, crc, tuple(digests.split()), listed, bool(copied))


def _count(connection: sqlite3.Connection, sent: int) -> None:
    connection.execute("UPDATE totals SET sent_bytes = sent_bytes + ?", (sent,))
