"""Room that the journal has before it needs it: on a disk that a training has filled, what is finished still gets to S3.

Inside its files, where nobody else can take it: free pages in the database, and a write-ahead log that is as long as it
gets; both are written over in place ("Write-Ahead Logging", sqlite.org: the log is not truncated when it begins anew). And
beside them a file that is given up where a journal can't even be opened: SQLite makes the log anew for each first opening.
A file system that copies on write (btrfs) needs new blocks all the same: there none of it helps.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress

GROWN = 2 << 20
"""Bytes: thousands of rows, and some times what one transaction writes."""

CHECKPOINT = 256
"""Pages of 4 KiB after which the log is emptied into the database, and begins anew: well before it is longer than GROWN."""

RESERVE = 4 << 20
"""Bytes: enough for a log of GROWN and its index."""


def grow(connection: sqlite3.Connection, path: str) -> None:
    """Make room in the files, where there is any. Outside any transaction. May raise sqlite3.Error, but not for want of room."""
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT:d}")
    if _free(connection) >= GROWN and _size(f"{path}-wal") >= GROWN:
        return
    try:
        # Two transactions: what one of them makes and drops again is never written.
        connection.execute("CREATE TABLE IF NOT EXISTS room (bytes BLOB)")
        connection.execute("INSERT INTO room VALUES (zeroblob(?))", (GROWN,))
        connection.execute("DROP TABLE room")
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    except sqlite3.OperationalError as error:
        if not no_room(error):
            raise
        with suppress(sqlite3.Error):
            connection.execute("DROP TABLE IF EXISTS room")


def reserve(path: str) -> None:
    """Best effort: without room for it, or on a file system without fallocate, there is none."""
    with suppress(OSError):
        descriptor = os.open(f"{path}.reserve", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, RESERVE)
        finally:
            os.close(descriptor)


def give_up(path: str) -> bool:
    """Whether there was a reserve, and its room is free now."""
    given = _size(f"{path}.reserve") > 0
    with suppress(OSError):
        os.unlink(f"{path}.reserve")
    return given


def no_room(error: sqlite3.Error) -> bool:
    """Whether the disk may be full ("Result and Error Codes", sqlite.org): the index of the log fails as an I/O error."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


def _free(connection: sqlite3.Connection) -> int:
    pages, size = (int(connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("freelist_count", "page_size"))
    return pages * size


def _size(path: str) -> int:
    try:
        return os.stat(path, follow_symlinks=False).st_size
    except OSError:
        return 0
