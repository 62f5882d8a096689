"""The journal's sums, for the status: what was sent, and the newest that was committed."""

from __future__ import annotations

import json
import sqlite3

from runctl_agent.contract.manifest import Rank

from .rows import Newest, Row, Totals


def sent_of_pending(connection: sqlite3.Connection) -> int:
    """Bytes that the store has of checkpoints that are not committed yet."""
    found = connection.execute(
        "SELECT coalesce(sum(sent), 0) FROM files JOIN rows ON rows.id = files.row WHERE state = 'staged'"
    ).fetchone()
    return int(found[0])


def totals(connection: sqlite3.Connection) -> Totals:
    sent, newest = connection.execute("SELECT sent_bytes, newest FROM totals").fetchone()
    commits = connection.execute("SELECT commits FROM held").fetchone()
    return Totals(sent, commits[0] if commits else 0, _decode(newest))


def remember_commit(connection: sqlite3.Connection, row: Row, manifest_key: str, now: float) -> None:
    """Count a commit under the epoch held, and keep the newest: by rank, complete ones only."""
    connection.execute("UPDATE held SET commits = commits + 1 WHERE epoch = ?", (row.epoch,))
    finished = row.staged.finished
    if row.rank_epoch is None or row.seq is None or not finished.complete:
        return
    rank = Rank(finished.weights, row.rank_epoch, finished.step, row.seq)
    before = totals(connection).newest
    if before is None or rank >= before.rank:
        newest = Newest(finished.name, finished.step, rank, now, manifest_key)
        connection.execute("UPDATE totals SET newest = ?", (_encode(newest),))


def _encode(newest: Newest) -> str:
    return json.dumps([newest.checkpoint, newest.step, list(newest.rank), newest.at, newest.manifest])


def _decode(text: str) -> Newest | None:
    """None for the empty text: nothing was committed yet."""
    if not text:
        return None
    checkpoint, step, rank, at, manifest = json.loads(text)
    return Newest(checkpoint, step, Rank(*rank), at, manifest)
