"""The journal's sums, for the status: what was sent, and the newest that was committed."""

from __future__ import annotations

import json
import os
import sqlite3

from runctl_agent.contract.manifest import Rank

from .rows import Behind, Newest, Row, Sending, Totals, Trouble, text_of


def behind(connection: sqlite3.Connection) -> Behind:
    """What is pending, less what the store has of it already. Added up here: SQLite's sums end at 64 bits."""
    found = connection.execute("SELECT size, finished_at FROM rows WHERE state = 'staged'").fetchall()
    (sent,) = connection.execute(
        "SELECT coalesce(sum(sent), 0) FROM files JOIN rows ON rows.id = files.row WHERE state = 'staged'"
    ).fetchone()
    return Behind(len(found), max(sum(size for size, _ in found) - sent, 0), min((at for _, at in found), default=None))


def claimed(connection: sqlite3.Connection) -> list[tuple[str, Sending]]:
    """What is claimed to be sent, and by whom, in the order of sending."""
    found = connection.execute(
        """SELECT claimed_by, name, size, (SELECT coalesce(sum(sent), 0) FROM files WHERE files.row = rows.id)
        FROM rows WHERE state = 'staged' AND claimed_by IS NOT NULL ORDER BY complete DESC, finished_at DESC, id DESC"""
    )
    return [(owner, Sending(os.fsdecode(name), size, sent)) for owner, name, size, sent in found]


def trouble(connection: sqlite3.Connection) -> Trouble:
    failures, retry_at = connection.execute(
        """SELECT coalesce(max(attempts), 0), min(CASE WHEN claimed_by IS NULL THEN next_try END)
        FROM rows WHERE state = 'staged' AND attempts > 0"""
    ).fetchone()
    aborts, tried, error = connection.execute("SELECT count(*), max(attempts), error FROM aborts").fetchone()
    if not tried:
        return Trouble(failures, retry_at, aborts, "")
    return Trouble(failures, retry_at, aborts, f"an upload that was given up can't be aborted: {text_of(error)}")


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
    remember_newest(connection, Newest(finished.name, finished.step, rank, now, manifest_key))


def remember_newest(connection: sqlite3.Connection, newest: Newest) -> None:
    before = totals(connection).newest
    if before is None or newest.rank >= before.rank:
        connection.execute("UPDATE totals SET newest = ?", (_encode(newest),))


def _encode(newest: Newest) -> str:
    return json.dumps([newest.checkpoint, newest.step, list(newest.rank), newest.at, newest.manifest])


def _decode(text: str) -> Newest | None:
    """None for the empty text, nothing was committed yet, and for what is not understood: the next commit replaces it."""
    try:
        match json.loads(text):
            case [str(checkpoint), int(step), [bool(weights), int(epoch), int(of), int(seq)], int() | float() as at, str(key)]:
                return Newest(checkpoint, step, Rank(weights, epoch, of, seq), float(at), key)
    except (ValueError, TypeError, OverflowError, RecursionError):
        pass
    return None
