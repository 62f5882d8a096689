"""The agent gets no memory for what it sends: that is a failure as any other, told and tried again, and not the agent's end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from runctl_agent.sender import Sender
from runctl_agent.store.journal import Row
from tests.fakes.clock import FakeRuntime
from tests.fakes.uploads import Bench


class NoMemory:
    """All that the sender has beside the journal; an upload gets no memory."""

    def __init__(self) -> None:
        self.tries = 0

    def send(self, row: Row, source: object) -> None:
        self.tries += 1
        raise MemoryError

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


def test_it_is_told_and_tried_again(bench: Bench) -> None:
    clock, none, dropped = FakeRuntime(), NoMemory(), list[Row]()
    rest = cast(Any, none)
    sender = Sender(clock, "run", "i-one", bench.journal, rest, rest, rest, rest, rest, clock.event(), dropped.append)
    for _ in range(2):
        sender.turn()
        clock.advance(3600.0)
    assert none.tries == 2
    assert sender.failures == 2
    assert sender.last_error.endswith("can't be sent: the agent gets no more memory")
    assert dropped == []
    assert bench.journal.behind().checkpoints == 1
