"""The journal's tables.

Names from file systems are BLOBs: they need not be UTF-8. What only describes a snapshot lies apart from `rows`, so that
reading what is known stays fast with many rows.
"""

from __future__ import annotations

VERSION = 4
"""In `PRAGMA user_version`. Those before were never released."""

TABLES = (
    "CREATE TABLE facts (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    """CREATE TABLE held (
        one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL, nonce TEXT NOT NULL,
        backlog_rank INTEGER NOT NULL, taken_at REAL NOT NULL, next_seq INTEGER NOT NULL, commits INTEGER NOT NULL)""",
    """CREATE TABLE backlog (
        root BLOB NOT NULL, name BLOB NOT NULL, signature TEXT NOT NULL, rank_epoch INTEGER NOT NULL,
        PRIMARY KEY (root, name, signature)) WITHOUT ROWID""",
    """CREATE TABLE rows (
        id INTEGER PRIMARY KEY AUTOINCREMENT, state TEXT NOT NULL,
        root BLOB NOT NULL, name BLOB NOT NULL, signature TEXT NOT NULL,
        complete INTEGER NOT NULL, weights INTEGER NOT NULL, finished_at REAL NOT NULL, added_at REAL NOT NULL,
        size INTEGER NOT NULL, epoch INTEGER, seq INTEGER, rank_epoch INTEGER,
        attempts INTEGER NOT NULL DEFAULT 0, next_try REAL NOT NULL DEFAULT 0, error BLOB NOT NULL DEFAULT x'',
        held_by TEXT, claimed_by TEXT, manifest TEXT, committed_at REAL)""",
    "CREATE UNIQUE INDEX rows_once ON rows (root, name, signature) WHERE state <> 'dropped'",
    "CREATE INDEX rows_of_name ON rows (root, name)",
    "CREATE INDEX rows_staged ON rows (finished_at, size) WHERE state = 'staged'",
    "CREATE TABLE snapshots (row INTEGER PRIMARY KEY, directory BLOB NOT NULL, staged TEXT NOT NULL)",
    # The columns of rows.Row first, in its order. `held_by`: whose open descriptors hold it.
    """CREATE VIEW staged AS
        SELECT id, epoch, seq, rank_epoch, snapshots.staged AS staged, attempts, next_try, error, state,
            complete, finished_at, coalesce(claimed_by, '') AS claimed_by, coalesce(held_by, '') AS held_by
        FROM rows JOIN snapshots ON snapshots.row = rows.id WHERE state = 'staged'""",
    """CREATE TABLE files (
        row INTEGER NOT NULL, path BLOB NOT NULL, key TEXT NOT NULL, upload_id TEXT NOT NULL, part_size INTEGER NOT NULL,
        encoding TEXT NOT NULL, sampled REAL, sent INTEGER NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0,
        crc INTEGER NOT NULL DEFAULT 0, digest TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (row, path)) WITHOUT ROWID""",
    """CREATE TABLE parts (
        row INTEGER NOT NULL, path BLOB NOT NULL, number INTEGER NOT NULL,
        size INTEGER NOT NULL, etag TEXT NOT NULL, crc INTEGER NOT NULL, digests TEXT NOT NULL,
        frames TEXT NOT NULL, copied INTEGER NOT NULL, PRIMARY KEY (row, path, number)) WITHOUT ROWID""",
    """CREATE TABLE aborts (
        key TEXT NOT NULL, upload_id TEXT NOT NULL, row INTEGER NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0, next_try REAL NOT NULL DEFAULT 0, error BLOB NOT NULL DEFAULT x'',
        PRIMARY KEY (key, upload_id)) WITHOUT ROWID""",
    # The files of what was committed last: what need not be sent again. `head`: the digest of the first content part.
    """CREATE TABLE stored (
        id INTEGER PRIMARY KEY AUTOINCREMENT, manifest TEXT NOT NULL, checkpoint BLOB NOT NULL, kind TEXT NOT NULL,
        path BLOB NOT NULL, size INTEGER NOT NULL, head TEXT NOT NULL)""",
    "CREATE INDEX stored_alike ON stored (size, head)",
    "CREATE INDEX stored_path ON stored (path)",
    "CREATE TABLE totals (one INTEGER PRIMARY KEY CHECK (one = 1), sent_bytes INTEGER NOT NULL, newest TEXT NOT NULL)",
    "INSERT INTO totals VALUES (1, 0, '')",
)
