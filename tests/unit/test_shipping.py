"""Logs on their way to S3: in growing pieces, over restarts and epochs, and never in the way of anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runctl_agent.contract.keys import Keys
from runctl_agent.contract.pieces import put_together
from runctl_agent.errors import StoreRefused
from runctl_agent.shipping import Shipping
from runctl_agent.store.journal import Journal
from tests.fakes.clock import FakeRuntime
from tests.fakes.memory_store import MemoryStore

KEYS = Keys("runs", "gpt2")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(str(tmp_path / "journal.db"), owner="me", alive=lambda owner: owner == "me")
    yield journal
    journal.close()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "training.log"


def shipping(journal: Journal, folder: Path) -> Shipping:
    return Shipping(FakeRuntime(), journal, str(folder), "training.log", str(folder / "agent.log"))


def there(store: MemoryStore, epoch: int, name: str = "training.log") -> bytes:
    prefix = KEYS.log(epoch, name, 0)[:-12]
    found = []
    for key in store.list(prefix):
        got = store.get(key)
        assert got is not None
        found.append((int(key.removeprefix(prefix)), got.body))
    return put_together(found)


def append(log: Path, text: bytes) -> None:
    with log.open("ab") as file:
        file.write(text)


def test_a_log_grows_in_its_piece(journal: Journal, tmp_path: Path, log: Path) -> None:
    store, ours = MemoryStore(), shipping(journal, tmp_path)
    ours.turn(store, KEYS, 1)
    assert list(store.list("runs/")) == [], "an empty log is no object"
    for text in (b"one\n", b"two\n"):
        append(log, text)
        ours.turn(store, KEYS, 1)
    assert there(store, 1) == b"one\ntwo\n"
    assert len(list(store.list("runs/gpt2/logs/"))) == 1
    assert ours.whole


def test_both_logs_go(journal: Journal, tmp_path: Path, log: Path) -> None:
    store, ours = MemoryStore(), shipping(journal, tmp_path)
    append(log, b"trained\n")
    append(tmp_path / "agent.log", b"watched\n")
    ours.turn(store, KEYS, 3)
    assert (there(store, 3), there(store, 3, "agent.log")) == (b"trained\n", b"watched\n")


def test_a_large_log_is_many_pieces(journal: Journal, tmp_path: Path, log: Path) -> None:
    store, ours = MemoryStore(), shipping(journal, tmp_path)
    body = b"".join(b"%07d\n" % n for n in range(100_000))
    append(log, body)
    ours.turn(store, KEYS, 1)
    assert ours.whole
    assert there(store, 1) == body
    assert len(list(store.list("runs/gpt2/logs/"))) == 4


def test_an_agent_that_comes_back_goes_on(journal: Journal, tmp_path: Path, log: Path) -> None:
    store = MemoryStore()
    append(log, b"one\n")
    shipping(journal, tmp_path).turn(store, KEYS, 1)
    append(log, b"two\n")
    shipping(journal, tmp_path).turn(store, KEYS, 1)
    assert there(store, 1) == b"one\ntwo\n"


def test_another_epoch_has_what_is_new(journal: Journal, tmp_path: Path, log: Path) -> None:
    store, ours = MemoryStore(), shipping(journal, tmp_path)
    append(log, b"one\n")
    ours.turn(store, KEYS, 1)
    append(log, b"two\n")
    ours.turn(store, KEYS, 2)
    assert (there(store, 1), there(store, 2)) == (b"one\n", b"two\n")


def test_what_the_disk_loses_stays_in_s3(journal: Journal, tmp_path: Path, log: Path) -> None:
    store, ours = MemoryStore(), shipping(journal, tmp_path)
    append(log, b"one\n")
    ours.turn(store, KEYS, 1)
    log.unlink()
    ours.turn(store, KEYS, 1)
    assert there(store, 1) == b"one\n"


def test_a_refusal_is_said_once_and_what_was_read_is_not_lost(
    journal: Journal, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store, ours = MemoryStore(), shipping(journal, tmp_path)

    def refused(*_: object, **__: object) -> str:
        raise StoreRefused("PutObject logs/", "AccessDenied", "allow s3:PutObject")

    append(log, b"one\n")
    with monkeypatch.context() as patched:
        patched.setattr(store, "put", refused)
        for _ in range(3):
            ours.turn(store, KEYS, 1)
    assert (not ours.whole, len(ours.problems)) == (True, 1)
    assert caplog.text.count("logs are not sent") == 1
    append(log, b"two\n")
    ours.turn(store, KEYS, 1)
    assert (there(store, 1), ours.problems) == (b"one\ntwo\n", ())


@pytest.mark.parametrize("text", ["", "x", "[]", "[1]", "[1, 2, 3, -4]"])
def test_a_memory_that_cannot_be_read_is_none(journal: Journal, tmp_path: Path, log: Path, text: str) -> None:
    journal.put("log training.log", text)
    store, ours = MemoryStore(), shipping(journal, tmp_path)
    append(log, b"one\n")
    ours.turn(store, KEYS, 1)
    assert there(store, 1) == b"one\n"
