"""Logs on their way to S3: in growing pieces, over restarts and epochs, and never in the way of anything."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runctl_agent.conduct import End
from runctl_agent.contract.history import moments
from runctl_agent.contract.keys import Keys, Series
from runctl_agent.contract.phases import Phase
from runctl_agent.contract.pieces import put_together
from runctl_agent.contract.spec import Spec, Watched
from runctl_agent.errors import JournalError, StoreError, StoreRefused, StoreUnavailable
from runctl_agent.shipping import AT_ONCE, EVERY, PATIENCE, SELDOM, Shipment, Shipping
from runctl_agent.store.journal import Journal
from tests.fakes.agent_state import state
from tests.fakes.clock import FakeRuntime
from tests.fakes.memory_store import MemoryStore

KEYS = Keys("runs", "gpt2")
REFUSED = StoreRefused("PutObject logs/", "AccessDenied", "allow s3:PutObject")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(str(tmp_path / "journal.db"), owner="me", alive=lambda owner: owner == "me")
    yield journal
    journal.close()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "training.log"


def no_descriptor(*_: object, **__: object) -> int:
    raise OSError(24, "Too many open files")


class Ours(Shipping):
    """With a clock that the test moves, and every log due at each `go`."""

    def __init__(self, journal: Journal, folder: Path) -> None:
        self.clock = FakeRuntime()
        spec = Spec(run="gpt2", destination="s3://b/runs", checkpoints=(Watched(str(folder)),), workdir=str(folder))
        super().__init__(self.clock, journal, spec, str(folder), str(folder / "agent.log"))

    def go(self, store: MemoryStore, epoch: int = 1, end: End = End.FAR, after: float = SELDOM) -> None:
        self.clock.advance(after)
        self.turn(store, KEYS, Shipment(epoch, end))

    def finish(self) -> None:
        """The agent says that the run has ended."""
        self.tell(state(phase=Phase.FINISHED))


def pieces(store: MemoryStore, series: Series) -> dict[int, bytes]:
    return {offset: store.objects[key].body for key in store.list(series.prefix) if (offset := series.offset(key)) is not None}


def there(store: MemoryStore, epoch: int, name: str = "training.log") -> bytes:
    return put_together(pieces(store, KEYS.log(epoch, name)).items())


def append(log: Path, text: bytes) -> None:
    with log.open("ab") as file:
        file.write(text)


def puts(store: MemoryStore) -> int:
    return sum(1 for call in store.calls if call[0] == "put")


def refusing(store: MemoryStore, monkeypatch: pytest.MonkeyPatch, error: StoreError, only: str = "") -> None:
    put = store.put

    def refused(key: str, body: bytes) -> str:
        if only in key:
            raise error
        return put(key, body)

    monkeypatch.setattr(store, "put", refused)


def test_a_log_grows_in_its_piece(journal: Journal, tmp_path: Path, log: Path) -> None:
    store, ours = MemoryStore(), Ours(journal, tmp_path)
    ours.go(store)
    assert list(store.list("runs/")) == [], "an empty log is no object"
    for text in (b"one\n", b"two\n"):
        append(log, text)
        ours.go(store)
    assert pieces(store, KEYS.log(1, "training.log")) == {0: b"one\ntwo\n"}
    before = puts(store)
    ours.go(store)
    assert puts(store) == before, "what does not grow costs nothing"


def test_both_logs_go(journal: Journal, tmp_path: Path, log: Path) -> None:
    store, ours = MemoryStore(), Ours(journal, tmp_path)
    append(log, b"trained\n")
    append(tmp_path / "agent.log", b"watched\n")
    ours.go(store, 3)
    assert (there(store, 3), there(store, 3, "agent.log")) == (b"trained\n", b"watched\n")


def test_the_history_goes_in_whole_lines(journal: Journal, tmp_path: Path) -> None:
    store, ours = MemoryStore(), Ours(journal, tmp_path)
    for number in range(3000):
        ours.tell(replace(state(), attempt=number))
    for _ in range(3):
        ours.go(store)
    found = pieces(store, KEYS.history(1))
    assert len(found) > 1
    assert all(body.endswith(b"\n") and len(moments(body)) == body.count(b"\n") for body in found.values())
    assert [one.attempt for one in moments(put_together(found.items()))] == list(range(3000))


def test_a_large_log_is_many_pieces(journal: Journal, tmp_path: Path, log: Path) -> None:
    store, ours = MemoryStore(), Ours(journal, tmp_path)
    body = b"".join(b"%07d\n" % n for n in range(100_000))
    append(log, body)
    ours.go(store)
    assert there(store, 1) == body
    assert len(pieces(store, KEYS.log(1, "training.log"))) == 4


def test_few_requests_and_at_once_near_the_end(journal: Journal, tmp_path: Path, log: Path) -> None:
    store, ours = MemoryStore(), Ours(journal, tmp_path)

    def at(end: End, seconds: int) -> int:
        before = puts(store)
        for _ in range(seconds):
            append(log, b"step\n")
            ours.go(store, end=end, after=AT_ONCE)
        return puts(store) - before

    ours.finish()
    ours.go(store)
    assert at(End.FAR, 300) == 300 // EVERY
    assert at(End.NEAR, 20) == 20
    assert at(End.REACHED, 1) == 1
    assert there(store, 1).count(b"step") == 321
    assert at(End.REACHED, 300) == 300 // EVERY, "what the end left is there"


def test_over_is_what_was_looked_at_after_the_end(journal: Journal, tmp_path: Path, log: Path) -> None:
    store, ours = MemoryStore(), Ours(journal, tmp_path)
    append(log, b"one\n")
    ours.go(store)
    append(log, b"the last line\n")
    assert not ours.over
    ours.go(store, end=End.REACHED, after=AT_ONCE)
    assert not ours.over, "the history does not say so yet"
    ours.finish()
    assert not ours.over
    ours.go(store, end=End.REACHED, after=AT_ONCE)
    assert ours.over
    assert there(store, 1).endswith(b"the last line\n")
    assert moments(put_together(pieces(store, KEYS.history(1)).items()))[-1].phase is Phase.FINISHED
    ours.go(store, 2, end=End.FAR, after=AT_ONCE)
    assert not ours.over, "another training has begun"


def test_what_is_refused_is_not_waited_for(journal: Journal, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, ours = MemoryStore(), Ours(journal, tmp_path)
    append(log, b"one\n")
    with monkeypatch.context() as patched:
        refusing(store, patched, REFUSED)
        ours.finish()
        ours.go(store, end=End.REACHED)
    assert ours.over
    assert ours.problems


def test_what_fails_is_waited_for_a_while(journal: Journal, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, ours = MemoryStore(), Ours(journal, tmp_path)
    append(log, b"one\n")
    refusing(store, monkeypatch, StoreUnavailable("PutObject logs/", "503"))
    ours.finish()
    ours.go(store, end=End.REACHED)
    assert not ours.over
    ours.go(store, end=End.REACHED, after=PATIENCE + 1)
    assert ours.over


def test_one_that_is_refused_stops_no_other(journal: Journal, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, ours = MemoryStore(), Ours(journal, tmp_path)
    append(log, b"one\n")
    append(tmp_path / "agent.log", b"watched\n")
    refusing(store, monkeypatch, REFUSED, only="training.log")
    ours.go(store)
    assert there(store, 1, "agent.log") == b"watched\n"
    assert len(ours.problems) == 1


def test_an_agent_that_comes_back_goes_on(journal: Journal, tmp_path: Path, log: Path) -> None:
    store = MemoryStore()
    append(log, b"one\n")
    Ours(journal, tmp_path).go(store)
    append(log, b"two\n")
    Ours(journal, tmp_path).go(store)
    assert pieces(store, KEYS.log(1, "training.log")) == {0: b"one\n", 4: b"two\n"}


def test_another_epoch_has_what_is_new(journal: Journal, tmp_path: Path, log: Path) -> None:
    store, ours = MemoryStore(), Ours(journal, tmp_path)
    append(log, b"one\n")
    ours.go(store)
    append(log, b"two\n")
    ours.go(store, 2)
    assert (there(store, 1), there(store, 2)) == (b"one\n", b"two\n")


def test_what_was_not_sent_goes_under_the_next_epoch(
    journal: Journal, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, ours = MemoryStore(), Ours(journal, tmp_path)
    append(log, b"one\n")
    with monkeypatch.context() as patched:
        refusing(store, patched, REFUSED)
        ours.go(store)
    append(log, b"two\n")
    ours.go(store, 2, after=1000.0)
    assert (there(store, 1), there(store, 2)) == (b"", b"one\ntwo\n")


def test_what_the_disk_loses_stays_in_s3(journal: Journal, tmp_path: Path, log: Path) -> None:
    store, ours = MemoryStore(), Ours(journal, tmp_path)
    append(log, b"one\n")
    ours.go(store)
    log.unlink()
    ours.go(store)
    assert there(store, 1) == b"one\n"


def test_a_refusal_is_said_once_and_nothing_is_lost(
    journal: Journal, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store, ours = MemoryStore(), Ours(journal, tmp_path)
    append(log, b"one\n")
    append(tmp_path / "agent.log", b"watched\n")
    with monkeypatch.context() as patched:
        refusing(store, patched, REFUSED)
        for _ in range(3):
            ours.go(store, after=1000.0)
    assert len(ours.problems) == 1
    assert caplog.text.count("logs are not sent") == 1
    append(log, b"two\n")
    ours.go(store, after=1000.0)
    assert (there(store, 1), there(store, 1, "agent.log")) == (b"one\ntwo\n", b"watched\n")
    assert not ours.problems


def test_a_journal_that_fails_is_a_problem_and_nothing_goes_that_it_does_not_know_of(
    journal: Journal, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, ours = MemoryStore(), Ours(journal, tmp_path)
    append(log, b"one\n")

    def full(key: str, value: str) -> None:
        raise JournalError("the journal can't be written", "the disk is full", "make room")

    with monkeypatch.context() as patched:
        patched.setattr(journal, "put", full)
        ours.go(store)
    assert puts(store) == 0
    assert "the disk is full" in ours.problems[0]
    ours.go(store, after=1000.0)
    assert there(store, 1) == b"one\n"


@pytest.mark.parametrize("text", ["", "x", "[]", "[1]", "[1, 2, 3, -4]", '[1, ["a"], [2]]', "[1, [4, 1, 2, 3, 4], [4, 1, 2]]"])
def test_a_memory_that_cannot_be_read_takes_nothing_away(journal: Journal, tmp_path: Path, log: Path, text: str) -> None:
    """What stands in S3 is not written over by somebody who does not know of it."""
    store = MemoryStore()
    append(log, b"one\n")
    Ours(journal, tmp_path).go(store)
    journal.put("log training.log", text)
    log.write_bytes(b"2\n")
    Ours(journal, tmp_path).go(store)
    assert there(store, 1) == b"one\n2\n"


def test_what_the_journal_keeps_is_small(journal: Journal, tmp_path: Path, log: Path) -> None:
    append(log, b"x" * 1_000_000)
    Ours(journal, tmp_path).go(MemoryStore())
    kept = journal.get("log training.log")
    assert kept is not None
    assert len(json.dumps(kept)) < 200


def test_a_log_that_can_not_be_read_is_told_no_longer_than_that(
    journal: Journal, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The history is due every five minutes: for as long its `can't be read` would stand."""
    ours, store = Ours(journal, log.parent), MemoryStore()
    (log.parent / "history.jsonl").write_bytes(b"{}\n")
    with monkeypatch.context() as for_now:
        for_now.setattr(os, "open", no_descriptor)
        ours.go(store)
    assert "history.jsonl can't be read: Too many open files" in ours.problems
    ours.go(store, after=5.0)
    assert ours.problems == ()
