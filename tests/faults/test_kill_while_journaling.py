"""kill -9 in the middle of writing the journal: everything it had said yes to is there."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from runctl_agent.store.journal import Journal

WRITER = """
import sys
from runctl_agent.store.journal import HeldEpoch, Journal
from runctl_agent.store.progress import PartProgress
from tests.fakes.staged_files import finished, staged

journal = Journal(sys.argv[1], owner="killed", alive=lambda owner: True)
journal.take_epoch(HeldEpoch(1, "a" * 32, 0, 1.0), [])
row = journal.add(staged(finished()), 1.0)
assert journal.claim(1000.0) is not None
journal.start_upload(row.id, "model.pt", "k", "u", 8)
number = 0
while True:
    number += 1
    journal.part_done(row.id, "model.pt", "u", PartProgress(number, 8, "e", number, "ab"))
    print(number, flush=True)
"""


def test_no_part_is_forgotten(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.db")
    writer = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True, cwd=os.getcwd())
    assert writer.stdout is not None
    told = [int(writer.stdout.readline()) for _ in range(40)]
    writer.kill()
    told += [int(line) for line in writer.stdout.read().splitlines() if line.isdigit()]
    writer.stdout.close()
    writer.wait()
    with closing(Journal(path, owner="heir", alive=lambda owner: owner != "killed")) as journal:
        assert not journal.recreated
        row = journal.claim(1000.0)
        assert row is not None
        (progress,) = journal.files(row.id)
        kept = [part.number for part in progress.parts]
        assert kept[: len(told)] == told
        assert len(kept) <= len(told) + 1
        assert journal.pending().rows[0].id == row.id
