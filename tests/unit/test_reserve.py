"""The room that a journal has before the disk is full."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from runctl_agent.errors import JournalError
from runctl_agent.store import database, reserve
from runctl_agent.store.journal import Journal


def opened(path: Path) -> Journal:
    return Journal(str(path), owner="me", alive=lambda owner: owner == "me")


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def test_the_files_have_it_and_nothing_written_later_makes_them_longer(tmp_path: Path) -> None:
    path, log = tmp_path / "journal.db", tmp_path / "journal.db-wal"
    journal = opened(path)
    journal.make_room()
    before = size(path), size(log)
    assert min(before) >= reserve.GROWN
    assert os.stat(f"{path}.reserve").st_blocks * 512 >= reserve.RESERVE
    for number in range(1000):
        journal.put(f"key {number % 50}", "a value of some length " * 20)
    assert (size(path), size(log)) == before
    journal.close()


def test_it_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    for _ in range(3):
        journal = opened(path)
        journal.make_room()
        journal.make_room()
        journal.close()
    assert size(path) < 2 * reserve.GROWN


def full_once(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    real, left = database._prepare, [times]

    def prepare(connection: sqlite3.Connection, path: str) -> None:
        if left[0]:
            left[0] -= 1
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        real(connection, path)

    monkeypatch.setattr(database, "_prepare", prepare)


def test_what_can_not_be_opened_for_want_of_room_gets_the_reserve_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.db"
    journal = opened(path)
    journal.make_room()
    journal.put("known", "still")
    journal.close()
    full_once(monkeypatch, 1)
    again = opened(path)
    assert again.get("known") == "still"
    assert not os.path.exists(f"{path}.reserve")
    again.make_room()
    assert os.path.exists(f"{path}.reserve"), "there is room again"
    again.close()


@pytest.mark.parametrize("reserved", [True, False])
def test_where_that_is_not_enough_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reserved: bool) -> None:
    path = tmp_path / "journal.db"
    if reserved:
        journal = opened(path)
        journal.make_room()
        journal.close()
    full_once(monkeypatch, 2)
    with pytest.raises(JournalError, match="disk is full"):
        opened(path)


def test_without_room_for_it_the_journal_works_all_the_same(tmp_path: Path) -> None:
    journal = opened(tmp_path / "journal.db")
    with journal._database.write() as connection:
        connection.execute("PRAGMA max_page_count = 40")
    journal.make_room()
    journal.put("known", "value")
    assert journal.get("known") == "value"
    journal.close()
