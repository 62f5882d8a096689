"""The journal is lost, damaged, newer, locked or on a full disk: never silently, never in the way of a new one."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from runctl_agent.errors import JournalError
from runctl_agent.store.journal import HeldEpoch, Journal
from tests.fakes.staged_files import finished, staged


def begin(path: Path, owner: str = "me") -> Journal:
    return Journal(str(path), owner=owner, alive=lambda other: True)


def filled(path: Path, rows: int = 50) -> None:
    with closing(begin(path)) as journal:
        journal.take_epoch(HeldEpoch(7, "a" * 32, 0, 50.0), [])
        for inode in range(1, rows + 1):
            journal.add(staged(finished(f"c{inode}", inode=inode)), 1.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def overwritten(path: Path) -> None:
    path.write_bytes(b"\0" * 100 + b"not a database at all" * 500)


def cut(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size // 2 // 4096 * 4096 + 100)


def rotten_page(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.seek(3 * 4096)
        stream.write(os.urandom(8192))


def of_another_program(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE rows (x)")


@pytest.mark.parametrize("damage", [overwritten, cut, rotten_page, of_another_program])
def test_a_damaged_one_is_moved_aside_and_a_new_one_begun(path: Path, damage: object) -> None:
    filled(path)
    assert callable(damage)
    damage(path)
    broken = path.read_bytes()
    with closing(begin(path)) as journal:
        assert journal.recreated
        assert journal.damaged == f"{path}.damaged-1"
        assert Path(journal.damaged).read_bytes() == broken
        assert journal.epoch() is None
        assert journal.known() == {}
        assert journal.add(staged(finished()), 1.0) is not None
    with closing(begin(path)) as journal:
        assert not journal.recreated
        assert len(journal.known()) == 1


def test_the_second_damaged_one_does_not_overwrite_the_first(path: Path) -> None:
    for number in (1, 2):
        filled(path, 1)
        overwritten(path)
        with closing(begin(path)) as journal:
            assert journal.damaged.endswith(f".damaged-{number}")
    assert (path.parent / "journal.db.damaged-1").exists()


def test_the_log_of_a_damaged_one_is_not_replayed_into_the_new_one(path: Path) -> None:
    filled(path)
    journal = begin(path)
    journal.put("in", "the log alone")
    log = Path(f"{path}-wal").read_bytes()
    journal.close()
    path.write_bytes(b"garbage" * 1000)
    Path(f"{path}-wal").write_bytes(log)
    with closing(begin(path)) as new:
        assert new.recreated
        assert new.get("in") is None
        assert Path(f"{new.damaged}-wal").read_bytes() == log


def test_killed_between_the_two_renames(path: Path) -> None:
    journal = begin(path)
    journal.add(staged(finished()), 1.0)
    log = Path(f"{path}-wal").read_bytes()
    journal.close()
    path.unlink()
    Path(f"{path}-wal").write_bytes(log)
    with closing(begin(path)) as new:
        assert new.known() == {}


def test_one_that_another_process_has_open_is_left_where_it_is(path: Path) -> None:
    filled(path)
    with closing(begin(path)):
        other = path.parent / "copy"
        other.write_bytes(b"garbage" * 1000)
        os.replace(other, path)
        with pytest.raises(JournalError) as error:
            begin(path, "other")
        assert "another process has it open" in error.value.why
        assert error.value.mend
    assert not list(path.parent.glob("*.damaged-*"))


def test_a_newer_version_is_refused_and_kept(path: Path) -> None:
    filled(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(JournalError) as error:
        begin(path)
    assert "version 99" in error.value.why
    assert path.read_bytes() == before
    assert not list(path.parent.glob("*.damaged-*"))


def test_no_directory_is_an_error_of_three_parts(tmp_path: Path) -> None:
    with pytest.raises(JournalError) as error:
        begin(tmp_path / "missing" / "journal.db")
    assert all((error.value.what, error.value.why, error.value.mend))


def test_a_link_in_its_place_is_not_followed(path: Path, tmp_path: Path) -> None:
    os.symlink(tmp_path / "elsewhere", path.with_name("journal.db.use"))
    with pytest.raises(JournalError):
        begin(path)
    assert not (tmp_path / "elsewhere").exists()


def test_an_error_in_the_middle_leaves_nothing_half_done(path: Path) -> None:
    with closing(begin(path)) as journal:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP TABLE snapshots")
        with pytest.raises(JournalError):
            journal.add(staged(finished()), 1.0)
        assert journal.known() == {}
        journal.put("still", "works")
        assert journal.get("still") == "works"
