"""Notices are seen once, whoever sees them, and stand whatever the metadata service does afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runctl_agent.errors import JournalError
from runctl_agent.life.notices import EVERY, Notices
from runctl_agent.store.journal import Journal
from runctl_agent.training.notice import PATHS, Source
from tests.fakes.clock import FakeRuntime
from tests.fakes.metadata import FakeMetadata


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(str(tmp_path / "journal.db"), owner="me", alive=lambda owner: owner == "me")
    yield journal
    journal.close()


class Looking:
    """One agent's look-out; `news` counts what it took for new."""

    def __init__(self, journal: Journal, metadata: FakeMetadata, *, boot_id: str = "boot", hook_timeout: float = 0.0) -> None:
        self.runtime = FakeRuntime()
        self.metadata = metadata
        self.news = 0
        self.notices = Notices(self.runtime, journal, boot_id, hook_timeout, self._noticed)

    def _noticed(self) -> None:
        self.news += 1

    def look(self) -> float:
        return self.notices.turn(self.metadata.read)

    @property
    def shown(self) -> list[tuple[str, float | None]]:
        return [(one.notice.text, one.at) for one in self.notices.standing]


def test_all_four_sources_are_looked_at_every_two_seconds(journal: Journal) -> None:
    looking = Looking(journal, FakeMetadata())
    assert looking.look() == EVERY == 2.0
    assert looking.metadata.asked == list(PATHS.values())
    assert (looking.shown, looking.news) == ([], 0)


def test_what_takes_the_machine_is_not_taken_back_by_silence(journal: Journal) -> None:
    looking = Looking(journal, metadata := FakeMetadata())
    metadata.spot(looking.runtime.now() + 120)
    metadata.rebalance()
    looking.look()
    assert [text for text, _ in looking.shown] == ["spot terminate", "rebalance recommended"]
    metadata.withdraw(Source.SPOT)
    metadata.withdraw(Source.REBALANCE)
    looking.look()
    assert [text for text, _ in looking.shown] == ["spot terminate"]


def test_a_group_holds_the_instance_as_long_as_its_hook(journal: Journal) -> None:
    looking = Looking(journal, metadata := FakeMetadata(), hook_timeout=600.0)
    metadata.group("InService")
    looking.look()
    assert looking.shown == []
    metadata.group("Terminated")
    now = looking.runtime.now()
    looking.look()
    assert looking.shown == [("group terminate", now + 600)]


def test_of_two_that_take_the_machine_the_first_in_time_counts(journal: Journal) -> None:
    looking = Looking(journal, metadata := FakeMetadata(), hook_timeout=30.0)
    metadata.spot(looking.runtime.now() + 120)
    metadata.group("Terminated")
    looking.look()
    assert looking.notices.taking is not None
    assert looking.notices.taking.notice.source is Source.GROUP


def test_a_journal_that_cannot_be_written_hides_no_notice(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    looking = Looking(journal, metadata := FakeMetadata())
    metadata.spot(looking.runtime.now() + 120)

    def full(key: str, value: str) -> None:
        raise JournalError("the journal can't be written", "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(journal, "put", full)
        looking.look()
    assert looking.notices.taking is not None
    assert Looking(journal, metadata).shown == []
    looking.look()
    assert len(Looking(journal, metadata).shown) == 1


@pytest.mark.parametrize("text", ["", "x", "[]", '["boot", [[1]]]', '["boot", [["spot", "a", null, "", "x", "y"]]]'])
def test_a_memory_that_cannot_be_read_is_none(journal: Journal, text: str) -> None:
    journal.put("notices", text)
    looking = Looking(journal, metadata := FakeMetadata())
    looking.look()
    metadata.spot(looking.runtime.now() + 120)
    looking.look()
    assert looking.news == 1
