"""What is pending, and what is known; survives kill -9 and power loss. Shared by the daemon and `runctl-agent flush`."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager

from runctl_agent.contract.manifest import Manifest
from runctl_agent.records import Staged
from runctl_agent.runtime import ThreadRuntime

from . import stored, sums, waiting
from .backoff import LONGEST
from .database import Database
from .progress import Progress, forget_row
from .rows import Behind as Behind
from .rows import HeldEpoch as HeldEpoch
from .rows import Newest, RowState, Totals, blob, encode_staged, row_of, text_of
from .rows import Pending as Pending
from .rows import Queued as Queued
from .rows import Row as Row
from .rows import Sending as Sending
from .stored import MOST


class Journal(Progress):
    """Every method is one transaction. Raises JournalError only.

    `owner` names this process in its claims and must differ from that of every earlier life; `alive` tells whether
    another's still lives. `lock` keeps the tasks of this process apart, and is never held while a port is called.
    """

    def __init__(
        self, path: str, *, owner: str, alive: Callable[[str], bool], lock: AbstractContextManager[object] | None = None
    ) -> None:
        super().__init__(Database(path, lock if lock is not None else ThreadRuntime().lock()))
        self._owner = owner
        self._alive = alive

    def close(self) -> None:
        self._database.close()

    def make_room(self) -> None:
        self._database.make_room()

    @property
    def recreated(self) -> bool:
        """Whether a damaged journal was found and a new one begun: the next epoch has to be taken."""
        return bool(self._database.damaged)

    @property
    def damaged(self) -> str:
        """Where the damaged one lies now; empty if there was none."""
        return self._database.damaged

    # --- small facts ---

    def get(self, key: str) -> str | None:
        with self._database.read() as connection:
            found = connection.execute("SELECT value FROM facts WHERE key = ?", (key,)).fetchone()
        return None if found is None else text_of(found[0])

    def put(self, key: str, value: str) -> None:
        with self._database.write() as connection:
            connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (key, blob(value)))

    # --- the epoch ---

    def epoch(self) -> HeldEpoch | None:
        with self._database.read() as connection:
            found = connection.execute("SELECT epoch, nonce, backlog_rank, taken_at FROM held").fetchone()
        return None if found is None else HeldEpoch(*found)

    def take_epoch(self, held: HeldEpoch, backlog: Iterable[tuple[str, str, str]]) -> None:
        """Write under `held` from now on. `backlog`: (root, name, signature) of what is on disk and not journaled yet.

        Rows without one get it, the backlog's rank epoch, and their seq in the order of staging. Backlog keeps the rank it had.
        """
        recorded = [(os.fsencode(root), os.fsencode(name), signature) for root, name, signature in backlog]
        with self._database.write() as connection:
            before = connection.execute("SELECT next_seq, commits FROM held WHERE epoch = ?", (held.epoch,)).fetchone()
            connection.execute(
                "INSERT OR REPLACE INTO held VALUES (1, ?, ?, ?, ?, ?, ?)",
                (held.epoch, held.nonce, held.rank_epoch_of_backlog, held.taken_at, *(before or (1, 0))),
            )
            known = {tuple(one): rank for *one, rank in connection.execute("SELECT * FROM backlog")}
            ranked = [(*one, known.get(one, held.rank_epoch_of_backlog)) for one in recorded]
            connection.execute("DELETE FROM backlog")
            connection.executemany("INSERT OR IGNORE INTO backlog VALUES (?, ?, ?, ?)", ranked)
            rows = connection.execute("SELECT id FROM rows WHERE state = 'staged' AND epoch IS NULL ORDER BY id").fetchall()
            for (row_id,) in rows:
                _enter(connection, row_id, held.rank_epoch_of_backlog)

    # --- rows ---

    def known(self) -> dict[tuple[str, str], str]:
        """(root, name) to the signature journaled last, of what was not dropped."""
        with self._database.read() as connection:
            found = connection.execute("SELECT root, name, signature FROM rows WHERE state <> 'dropped' ORDER BY id")
            return {(os.fsdecode(root), os.fsdecode(name)): signature for root, name, signature in found}

    def add(self, staged: Staged, now: float) -> Row | None:
        """Journal a staged checkpoint, with the next seq if an epoch is held. None: this content is journaled already.

        What is held by descriptors is this process's alone to claim or let go, for as long as it lives.
        """
        finished = staged.finished
        identity = (os.fsencode(finished.root), os.fsencode(finished.name), finished.signature)
        held_by = None if staged.directory else self._owner
        with self._database.write() as connection:
            added = connection.execute(
                """INSERT OR IGNORE INTO rows
                (state, root, name, signature, complete, weights, finished_at, added_at, size, held_by)
                VALUES ('staged', ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
                (*identity, finished.complete, finished.weights, finished.at, now, min(finished.size, MOST), held_by),
            )
            if added.rowcount != 1 or added.lastrowid is None:
                return None
            snapshot = (added.lastrowid, os.fsencode(staged.directory), encode_staged(staged))
            connection.execute("INSERT INTO snapshots VALUES (?, ?, ?)", snapshot)
            found = connection.execute("SELECT rank_epoch FROM backlog WHERE (root, name, signature) = (?, ?, ?)", identity)
            _enter(connection, added.lastrowid, *(found.fetchone() or ()))
            return row_of(connection.execute("SELECT * FROM staged WHERE id = ?", (added.lastrowid,)).fetchone())

    def claim(self, now: float, first: Sequence[int] = ()) -> Row | None:
        """The newest row that is due and nobody's, now ours; complete ones first, and before all others those whose ids are in
        `first`, in its order. A dead owner's claim is void."""
        free = self._free()
        with self._database.write() as connection:
            found = connection.execute(
                """SELECT * FROM staged WHERE epoch IS NOT NULL AND NOT (? < next_try AND next_try <= ?)
                AND claimed_by IN (SELECT value FROM json_each(?)) AND held_by IN (SELECT value FROM json_each(?))
                ORDER BY coalesce((SELECT key FROM json_each(?) WHERE value = staged.id), ?),
                    complete DESC, finished_at DESC, id DESC LIMIT 1""",
                (now, now + LONGEST, *free, json.dumps(list(first)), len(first)),
            ).fetchone()
            if found is None:
                return None
            row = row_of(found)
            connection.execute("UPDATE rows SET claimed_by = ? WHERE id = ?", (self._owner, row.id))
            return row

    def release(self, row_id: int, *, error: str, next_try: float) -> None:
        """Give a claimed row back after a failure; it is due again at `next_try`. What was sent stays remembered."""
        with self._database.write() as connection:
            connection.execute(
                """UPDATE rows SET claimed_by = NULL, attempts = attempts + 1, error = ?, next_try = ?
                WHERE id = ? AND state = 'staged' AND claimed_by = ?""",
                (blob(error), next_try, row_id, self._owner),
            )

    def give_back(self, row_id: int) -> None:
        """Let a claimed row wait: nothing failed, and what was sent stays remembered."""
        with self._database.write() as connection:
            connection.execute("UPDATE rows SET claimed_by = NULL WHERE id = ? AND claimed_by = ?", (row_id, self._owner))

    def drop(self, row_id: int, reason: str) -> None:
        """Forget a row whose content changed: its seq is burnt, its uploads are owed an abort, its content may come again."""
        with self._database.write() as connection:
            _drop(connection, row_id, reason)

    def let_go(self, row_id: int, reason: str) -> bool:
        """Drop a row unless somebody has claimed it meanwhile; returns whether it was dropped."""
        free = self._free()
        with self._database.write() as connection:
            found = connection.execute(
                """SELECT 1 FROM staged WHERE id = ?
                AND claimed_by IN (SELECT value FROM json_each(?)) AND held_by IN (SELECT value FROM json_each(?))""",
                (row_id, *free),
            ).fetchone()
            if found:
                _drop(connection, row_id, reason)
            return found is not None

    def committed(self, row_id: int, manifest_key: str, now: float, manifest: Manifest | None = None) -> None:
        """The manifest stands. Told twice it counts once. What `manifest` lists need not be sent again."""
        with self._database.write() as connection:
            found = connection.execute("SELECT * FROM staged WHERE id = ?", (row_id,)).fetchone()
            if found is None:
                return
            row = row_of(found)
            connection.execute(
                """UPDATE rows SET state = 'committed', claimed_by = NULL, error = x'', manifest = ?, committed_at = ?
                WHERE id = ?""",
                (manifest_key, now, row_id),
            )
            _settle(connection, row_id, RowState.COMMITTED)
            sums.remember_commit(connection, row, manifest_key, now)
            if manifest is not None:
                stored.remember(connection, manifest_key, manifest)

    def restored(self, root: str, name: str, signature: str, manifest_key: str, manifest: Manifest) -> None:
        """What is about to stand at `name` came from S3: it is committed already, and not sent again.

        For the status it is the newest, until a commit ranks above it.
        """
        size, at = min(manifest.size, MOST), manifest.created
        values = (os.fsencode(root), os.fsencode(name), signature, manifest.complete, manifest.rank.weights, at, at, size)
        with self._database.write() as connection:
            connection.execute(
                """INSERT OR IGNORE INTO rows
                (state, root, name, signature, complete, weights, finished_at, added_at, size, manifest, committed_at)
                VALUES ('committed', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
                (*values, manifest_key, at),
            )
            sums.remember_newest(connection, Newest(name, manifest.step, manifest.rank, at, manifest_key))
            stored.remember(connection, manifest_key, manifest)

    def hasten(self) -> None:
        """What failed and waits is due now."""
        with self._database.write() as connection:
            connection.execute("UPDATE rows SET next_try = 0 WHERE state = 'staged'")

    # --- sums ---

    def behind(self) -> Behind:
        """The sums of `pending`; reads no snapshot, so it may be asked every second."""
        with self._database.read() as connection:
            return sums.behind(connection)

    def sending(self) -> Sending | None:
        """What is being sent, by this process or another that lives; of several, what goes first."""
        with self._database.read() as connection:
            found = sums.claimed(connection)
        return next((sending for owner, sending in found if owner == self._owner or self._alive(owner)), None)

    def pending(self) -> Pending:
        """Reads every pending snapshot: some milliseconds each."""
        with self._database.read() as connection:
            found = connection.execute("SELECT * FROM staged ORDER BY finished_at DESC, id DESC").fetchall()
            behind = sums.behind(connection)
        rows = tuple(row_of(values) for values in found)
        return Pending(behind.checkpoints, behind.bytes, behind.oldest_at, rows)

    def queue(self) -> list[Queued]:
        """What is pending, and how much of each; reads no snapshot."""
        with self._database.read() as connection:
            return waiting.queue(connection, self._owner)

    def directories(self) -> set[str]:
        """Where the pending snapshots lie, less those that descriptors hold."""
        with self._database.read() as connection:
            found = connection.execute("SELECT directory FROM snapshots WHERE directory <> x''")
            return {os.fsdecode(directory) for (directory,) in found}

    def superseded(self, roots: Collection[str] | None = None) -> list[Row]:
        """Oldest first: pending rows that nobody has claimed, less the newest complete one of each watched directory.

        Weights count before time: a lone JSON supersedes nothing that carries them. `roots`: of these directories alone.
        """
        free = self._free()
        with self._database.read() as connection:
            return waiting.superseded(connection, free, roots)

    def totals(self) -> Totals:
        with self._database.read() as connection:
            return sums.totals(connection)

    def _free(self) -> tuple[str, str]:
        """JSON lists of whose claims don't count, and whose descriptors are ours or nobody's: '' is nobody, the dead go along.

        `alive` is asked outside of any transaction.
        """
        with self._database.read() as connection:
            owners = waiting.owners(connection)
        dead = [owner for owner in owners if owner != self._owner and not self._alive(owner)]
        return json.dumps(["", *dead]), json.dumps(["", self._owner, *dead])


def _enter(connection: sqlite3.Connection, row_id: int, rank_epoch: int | None = None) -> None:
    """Give a row the epoch held and the next seq; nothing while none is. `rank_epoch`: the backlog's; None: it is none."""
    for epoch, seq in connection.execute("SELECT epoch, next_seq FROM held").fetchall():
        rank = epoch if rank_epoch is None else rank_epoch
        connection.execute("UPDATE held SET next_seq = next_seq + 1")
        connection.execute("UPDATE rows SET epoch = ?, seq = ?, rank_epoch = ? WHERE id = ?", (epoch, seq, rank, row_id))


def _drop(connection: sqlite3.Connection, row_id: int, reason: str) -> None:
    found = connection.execute(
        "UPDATE rows SET state = 'dropped', claimed_by = NULL, error = ? WHERE id = ? AND state = 'staged'",
        (blob(reason), row_id),
    )
    if found.rowcount:
        _settle(connection, row_id, RowState.DROPPED)


def _settle(connection: sqlite3.Connection, row_id: int, state: RowState) -> None:
    """Forget what only a staged row needs, and the older rows of its name in its state: a file may be rewritten for months."""
    forget_row(connection, row_id)
    connection.execute("DELETE FROM snapshots WHERE row = ?", (row_id,))
    connection.execute(
        """DELETE FROM rows WHERE state = ?2 AND id < (
            SELECT max(o.id) FROM rows AS o JOIN rows AS r USING (root, name) WHERE r.id = ?1 AND o.state = ?2)
        AND (root, name) = (SELECT root, name FROM rows WHERE id = ?1)""",
        (row_id, state.value),
    )
