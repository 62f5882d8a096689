"""The journal can't be written as a row is dropped, or gives way: on a disk without a byte left. It is not held for ever."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from runctl_agent.errors import GaveWay, JournalError, RunctlError, SourceChanged
from runctl_agent.sender import Sender
from runctl_agent.store.journal import Journal, Row
from tests.fakes.clock import FakeRuntime
from tests.fakes.uploads import Bench


class FullDisk:
    """The bench's journal, which can't drop a row or give it back once."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.failed: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name in {"drop", "give_back"} and not self.failed:
            self.failed.append(name)
            return self._fail
        return getattr(self._journal, name)

    def _fail(self, *_: object) -> None:
        raise JournalError("the journal can't be used", "database or disk is full")


class Ends:
    """All that the sender has beside the journal: an upload that ends with an error, and nothing else happens."""

    def __init__(self, error: RunctlError) -> None:
        self.error = error
        self.sent: list[int] = []

    def send(self, row: Row, source: object) -> None:
        self.sent.append(row.id)
        raise self.error

    def ensure(self) -> int:
        return 7

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(str(tmp_path))
    bench.journal.release(bench.row.id, error="", next_try=0.0)  # the bench has claimed it
    yield bench
    bench.close()


def turns(bench: Bench, error: RunctlError) -> tuple[Ends, list[Row]]:
    """Three of the sender's, with all the time in the world between them; and which rows were dropped."""
    clock, ends, dropped = FakeRuntime(), Ends(error), list[Row]()
    full, all_else = cast(Journal, FullDisk(bench.journal)), cast(Any, ends)
    sender = Sender(clock, "run", "i-one", full, all_else, all_else, all_else, all_else, all_else, clock.event(), dropped.append)
    for _ in range(3):
        sender.turn()
        clock.advance(3600.0)
    return ends, dropped


def test_what_changed_is_dropped_once_there_is_room(bench: Bench) -> None:
    ends, dropped = turns(bench, SourceChanged("the snapshot is dropped", "it was rewritten in place"))
    assert ends.sent == [bench.row.id] * 2
    assert [row.id for row in dropped] == [bench.row.id], "and its new content is asked for"
    assert bench.journal.behind().checkpoints == 0


def test_what_gave_way_is_sent_later(bench: Bench) -> None:
    ends, _ = turns(bench, GaveWay("it waits", "another can be sent in time"))
    assert len(ends.sent) == 3
    assert bench.journal.behind().checkpoints == 1
