"""The journal's rows that wait to be sent, or to be let go."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Collection

from .rows import Queued, Row, row_of


def queue(connection: sqlite3.Connection, owner: str) -> list[Queued]:
    found = connection.execute(
        """SELECT id, size - (SELECT coalesce(sum(sent), 0) FROM files WHERE files.row = rows.id), finished_at, weights, complete,
            claimed_by = ? FROM rows WHERE state = 'staged' ORDER BY id""",
        (owner,),
    )
    return [Queued(id_, max(left, 0), at, bool(weights), bool(whole), bool(own)) for id_, left, at, weights, whole, own in found]


def owners(connection: sqlite3.Connection) -> list[str]:
    """Whoever has claimed a pending row, or holds it by a descriptor."""
    found = connection.execute(
        """SELECT claimed_by FROM rows WHERE state = 'staged' AND claimed_by IS NOT NULL
        UNION SELECT held_by FROM rows WHERE state = 'staged' AND held_by IS NOT NULL"""
    )
    return [owner for (owner,) in found]


def superseded(connection: sqlite3.Connection, free: tuple[str, str], roots: Collection[str] | None) -> list[Row]:
    """`free`: JSON lists of whose claims don't count, and whose descriptors don't."""
    within = None if roots is None else json.dumps([os.fsencode(root).hex().upper() for root in roots])
    found = connection.execute(
        """SELECT * FROM staged
        WHERE claimed_by IN (SELECT value FROM json_each(?1)) AND held_by IN (SELECT value FROM json_each(?2))
        AND (?3 IS NULL OR id IN (SELECT id FROM rows WHERE hex(root) IN (SELECT value FROM json_each(?3))))
        AND id NOT IN (SELECT id FROM (
            SELECT id, row_number() OVER (PARTITION BY root ORDER BY weights DESC, finished_at DESC, id DESC) AS place
            FROM rows WHERE state <> 'dropped' AND complete) WHERE place = 1)
        ORDER BY finished_at, id""",
        (*free, within),
    ).fetchall()
    return [row_of(values) for values in found]
