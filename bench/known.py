"""A watched directory full of checkpoints, and a journal in which all of them stand as committed: as after months of training."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from runctl_agent.config import load_spec
from runctl_agent.contract.manifest import Manifest, Rank
from runctl_agent.disk.read import Reader
from runctl_agent.runtime import ThreadRuntime
from runctl_agent.store.journal import Journal
from tests.e2e.agent import Agent


def fill(watched: Path, files: int, each: int) -> None:
    """`files` files, `each` of them in one checkpoint; one by one at the top level where that is 1."""
    watched.mkdir(parents=True)
    if each == 1:
        for number in range(files):
            (watched / f"step_{number}.json").write_bytes(b"{}")
        return
    for checkpoint in range(files // each):
        folder = watched / f"checkpoint-{checkpoint}"
        folder.mkdir()
        (folder / "trainer_state.json").write_bytes(b"{}")
        for number in range(each - 1):
            (folder / f"shard_{number}.bin").write_bytes(b"x")


def journal(agent: Agent, watched: Path) -> int:
    """Tell the agent's journal, before its first start, that all of it is committed; how many checkpoints."""
    home = agent.state_dir / "runs" / agent.run
    home.mkdir(parents=True)
    path = home / "journal.db"
    signatures = list(_signatures(agent))
    name, signature = signatures[0]
    # The first as the agent itself would write it; the others are copies of its row: one transaction instead of thousands.
    own = Journal(str(path), owner="bench", alive=lambda _: False, lock=ThreadRuntime().lock())
    with closing(own):
        own.restored(str(watched), name, signature, "manifests/000001-00000001-x.json", _manifest(agent.run, name))
    with closing(sqlite3.connect(path)) as connection:
        columns = [column for _, column, *_ in connection.execute("PRAGMA table_info(rows)") if column != "id"]
        chosen = ", ".join({"name": "?1", "signature": "?2"}.get(column, column) for column in columns)
        connection.executemany(
            f"INSERT INTO rows ({', '.join(columns)}) SELECT {chosen} FROM rows WHERE id = 1",
            ((os.fsencode(other), found) for other, found in signatures[1:]),
        )
        connection.commit()
    return len(signatures)


def _signatures(agent: Agent) -> Iterator[tuple[str, str]]:
    (watched,) = load_spec(str(agent.config), ThreadRuntime()).checkpoints
    reader = Reader(watched)
    with closing(reader):
        for name in reader.names():
            reading = reader.read(name)
            assert reading is not None
            yield name, reading.signature


def _manifest(run: str, name: str) -> Manifest:
    return Manifest(
        run=run,
        epoch=1,
        seq=1,
        checkpoint=name,
        step=1,
        rank=Rank(weights=True, epoch=1, step=1, seq=1),
        kind="file",
        complete=True,
        created=0.0,
        instance="bench",
        files=(),
        directory="",
        nonce="0" * 32,
    )
