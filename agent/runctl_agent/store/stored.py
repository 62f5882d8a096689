"""The journal's list of files that were committed last: what a new one is compared with before it is sent."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass

from runctl_agent.contract.manifest import Manifest

from .alike import head
from .rows import blob

MOST = 2**63 - 1
"""The largest number that SQLite holds; a sparse file may be larger."""

KEPT = 50_000
"""Files; what is older is sent again when it comes again."""

LAST_OF_PATH = """SELECT manifest, path FROM stored WHERE path = ?3 AND kind = ?2
    ORDER BY checkpoint = ?1 DESC, size = ?4 DESC, id DESC LIMIT 1"""
LAST_FILE = """SELECT manifest, path FROM stored WHERE kind = ?2
    ORDER BY checkpoint = ?1 AND path = ?3 DESC, size = ?4 DESC, id DESC LIMIT 1"""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """`manifest` is the key, relative to the run, of the manifest that has it."""

    manifest: str
    path: str


def remember(connection: sqlite3.Connection, key: str, manifest: Manifest) -> None:
    """Within a transaction of the caller's."""
    connection.executemany(
        "INSERT INTO stored (manifest, checkpoint, kind, path, size, head) VALUES (?, ?, ?, ?, ?, ?)",
        [
            (key, blob(manifest.checkpoint), manifest.kind, os.fsencode(file.path), min(file.size, MOST), head(file))
            for file in manifest.files
            if file.size
        ],
    )
    connection.execute("DELETE FROM stored WHERE id <= (SELECT max(id) FROM stored) - ?", (KEPT,))


def before(connection: sqlite3.Connection, checkpoint: str, kind: str, path: str, size: int) -> StoredFile | None:
    """The file that a new one is a successor of: of the same checkpoint's name, else of the same path, else of a checkpoint
    that is one file; of one size before others, the newest before older ones."""
    # A directory has many files: its paths are looked up, not searched for.
    found = connection.execute(
        LAST_FILE if kind == "file" else LAST_OF_PATH, (blob(checkpoint), kind, os.fsencode(path), min(size, MOST))
    ).fetchone()
    return None if found is None else StoredFile(found[0], os.fsdecode(found[1]))


def possible(connection: sqlite3.Connection, size: int) -> bool:
    """Whether any has this size."""
    return connection.execute("SELECT 1 FROM stored WHERE size = ? LIMIT 1", (min(size, MOST),)).fetchone() is not None


def alike(connection: sqlite3.Connection, size: int, first: str) -> list[StoredFile]:
    """The newest few of this size and with this digest of the first content part."""
    found = connection.execute(
        "SELECT manifest, path FROM stored WHERE size = ? AND head = ? ORDER BY id DESC LIMIT 4", (min(size, MOST), first)
    ).fetchall()
    return [StoredFile(manifest, os.fsdecode(path)) for manifest, path in found]
