"""What the journal says of its backlog without reading a snapshot, and whose its descriptors are."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from runctl_agent.contract.manifest import Rank
from runctl_agent.errors import JournalError
from runctl_agent.records import FileEntry, FileId, Finished, Held, Staged, StagedFile
from runctl_agent.store.journal import Behind, HeldEpoch, Journal, Row
from runctl_agent.store.progress import PartProgress
from runctl_agent.store.rows import Newest, decode_staged
from tests.fakes.staged_files import finished, staged

Open = Callable[..., Journal]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def opened(path: Path) -> Iterator[Open]:
    journals: list[Journal] = []

    def opener(owner: str = "daemon", alive: Callable[[str], bool] = lambda owner: True) -> Journal:
        journals.append(Journal(str(path), owner=owner, alive=alive))
        return journals[-1]

    yield opener
    for journal in journals:
        journal.close()


@pytest.fixture
def journal(opened: Open) -> Journal:
    journal = opened()
    journal.take_epoch(HeldEpoch(7, "a" * 32, 4, 50.0), [])
    return journal


def by_descriptors(done: Finished) -> Staged:
    return Staged(done, "", tuple(StagedFile(e.path, e.id, Held.DESCRIPTOR, e.id) for e in done.files))


def add(journal: Journal, snapshot: Staged) -> Row:
    row = journal.add(snapshot, snapshot.finished.at)
    assert row is not None
    return row


def names(rows: list[Row]) -> list[str]:
    return [row.staged.finished.name for row in rows]


def write(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


# --- sums without snapshots ---


def test_nothing_is_behind_at_first(journal: Journal) -> None:
    assert journal.behind() == Behind(0, 0, None)
    assert journal.directories() == set()


def test_what_is_behind_leaves_out_what_was_sent(journal: Journal) -> None:
    first = add(journal, staged(finished("a", at=1.0, size=100)))
    add(journal, staged(finished("b", at=2.0, size=50)))
    journal.put_done(first.id, "model.pt", "k", 100, PartProgress(1, 30, "e", 1, ("00",)))
    assert journal.behind() == Behind(2, 120, 1.0)
    journal.committed(first.id, "m", 3.0)
    assert journal.behind() == Behind(1, 50, 2.0)


def test_no_snapshot_is_read_for_it(journal: Journal, path: Path) -> None:
    add(journal, staged(finished("a", at=1.0, size=100)))
    write(path, "UPDATE snapshots SET staged = 'not read'")
    assert journal.behind() == Behind(1, 100, 1.0)
    assert journal.directories() == {"/staging/a"}


def test_it_agrees_with_the_rows_also_beyond_sixty_four_bits(journal: Journal) -> None:
    huge = FileEntry("sparse.pt", FileId(1, 1, 2**63 - 1, 5))
    add(journal, staged(dataclasses.replace(finished("two"), files=(huge, dataclasses.replace(huge, path="other.pt")))))
    add(journal, staged(finished("one", inode=2, size=2**63 - 1)))
    assert journal.behind().bytes >= 2 * (2**63 - 1)
    assert journal.behind().bytes == journal.pending().bytes


def test_directories_are_those_of_what_is_pending(journal: Journal) -> None:
    sent, dropped = add(journal, staged(finished("sent"))), add(journal, staged(finished("dropped")))
    add(journal, Staged(finished("odd"), "/staging/caf\udce9", ()))
    add(journal, by_descriptors(finished("open")))
    journal.committed(sent.id, "m", 1.0)
    journal.drop(dropped.id, "changed")
    assert journal.directories() == {"/staging/caf\udce9"}


# --- what is held by open descriptors ---


def test_descriptors_are_their_holders_to_send(opened: Open, journal: Journal) -> None:
    held = add(journal, by_descriptors(finished("open", at=2.0)))
    add(journal, staged(finished("linked", at=1.0)))
    flush = opened("flush")
    first = flush.claim(1000.0)
    assert first is not None
    assert first.staged.finished.name == "linked"
    assert flush.claim(1000.0) is None
    mine = journal.claim(1000.0)
    assert mine is not None
    assert mine.id == held.id


def test_nor_does_another_let_them_go(opened: Open, journal: Journal) -> None:
    held = add(journal, by_descriptors(finished("open", at=1.0)))
    add(journal, staged(finished("newer", at=2.0)))
    flush = opened("flush")
    assert flush.superseded() == []
    assert not flush.let_go(held.id, "disk short")
    assert names(journal.superseded()) == ["open"]
    assert journal.let_go(held.id, "disk short")


def test_those_of_the_dead_go_to_whoever_comes(opened: Open, journal: Journal) -> None:
    held = add(opened("dead"), by_descriptors(finished("open")))
    assert journal.claim(1000.0) is None
    heir = opened("heir", lambda owner: owner != "dead")
    taken = heir.claim(1000.0)
    assert taken is not None
    assert taken.id == held.id


# --- superseded, of some directories ---


def test_superseded_of_the_given_directories_alone(journal: Journal) -> None:
    for root in ("/a", "/w\udcff"):
        for at in (1.0, 2.0):
            add(journal, staged(finished(f"{root}-{at}", root=root, at=at)))
    assert names(journal.superseded()) == ["/a-1.0", "/w\udcff-1.0"]
    assert names(journal.superseded(["/w\udcff", "/elsewhere"])) == ["/w\udcff-1.0"]
    assert journal.superseded([]) == []


# --- foreign content ---


@pytest.mark.parametrize(
    "newest",
    [
        "{",
        "[]",
        "5",
        "null",
        "[" * 3000,
        '["a", 1, [1, 2], 3.0, "m"]',
        '["a", 1, 7, 3.0, "m"]',
        '["a", 1.5, [true, 1, 2, 3], 3.0, "m"]',
        '[5, 1, [true, 1, 2, 3], 3.0, "m"]',
        '["a", 1, [true, "x", 2, 3], 3.0, "m"]',
        '["a", 1, [true, 1, 2, 3], "x", "m"]',
    ],
)
def test_a_newest_that_is_not_understood_is_none_and_the_next_commit_mends_it(journal: Journal, path: Path, newest: str) -> None:
    write(path, "UPDATE totals SET newest = ?", newest)
    assert journal.totals().newest is None
    journal.committed(add(journal, staged(finished("step-5"))).id, "m", 9.0)
    assert journal.totals().newest == Newest("step-5", 5, Rank(True, 7, 5, 1), 9.0, "m")


@pytest.mark.parametrize(("value", "read"), [(b"\xff\xfe", "\ufffd\ufffd"), ("text", "text"), (5, "5"), (b"", "")])
def test_any_fact_is_a_string(journal: Journal, path: Path, value: object, read: str) -> None:
    write(path, "INSERT INTO facts VALUES ('f', ?)", value)
    assert journal.get("f") == read


@pytest.mark.parametrize(
    "text",
    [
        "[" * 3000,
        "5",
        '{"root": 5, "name": "a", "kind": "file", "step": 1, "weights": true, "complete": true, "at": 1.0, "entries": [], "directory": "", "files": []}',  # noqa: E501
        '{"root": "/w", "name": "a", "kind": "file", "step": "x", "weights": true, "complete": true, "at": 1.0, "entries": [], "directory": "", "files": []}',  # noqa: E501
        '{"root": "/w", "name": "a", "kind": "file", "step": 1, "weights": true, "complete": true, "at": 1.0, "entries": [["a", 1, 2, 3, "x"]], "directory": "", "files": []}',  # noqa: E501
    ],
)
def test_a_snapshot_that_is_not_understood_is_an_error_with_the_mend(text: str) -> None:
    with pytest.raises(JournalError) as error:
        decode_staged(text)
    assert error.value.mend


def test_a_journal_from_before_the_first_release_is_refused_and_kept(path: Path) -> None:
    Journal(str(path), owner="me", alive=lambda owner: True).close()
    write(path, "PRAGMA user_version = 1")
    before = path.read_bytes()
    with pytest.raises(JournalError) as error:
        Journal(str(path), owner="me", alive=lambda owner: True)
    assert "version 1" in error.value.why
    assert "mv " in error.value.mend
    assert path.read_bytes() == before
