"""The order that ends a training: the strongest stands, over restarts of the agent, in its own boot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.contract.phases import Phase
from runctl_agent.errors import JournalError
from runctl_agent.life.orders import MEMORY, Orders
from runctl_agent.store.journal import Journal
from runctl_agent.training.order import Cause, Order, strongest
from tests.fakes.clock import FakeRuntime

ASKED = Order(Cause.STOP, Phase.STOPPED, "somebody asked for the end")
NOTICED = Order(Cause.NOTICE, Phase.INTERRUPTED, "spot terminate", 1_700_000_120.0)
LIMIT = Order(Cause.LIMIT, Phase.FAILED, "it has run for 3 days")

orders = st.builds(Order, st.sampled_from(Cause), st.sampled_from(Phase), st.just("why"), st.none() | st.floats(0, 1e9))


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(str(tmp_path / "journal.db"), owner="me", alive=lambda owner: owner == "me")
    yield journal
    journal.close()


@given(st.lists(orders, min_size=1))
def test_whatever_comes_first_the_strongest_cause_stands_by_the_earliest_time(given_orders: list[Order]) -> None:
    standing: Order | None = None
    for order in given_orders:
        standing = strongest(standing, order)
    assert standing is not None
    causes = list(Cause)
    assert standing.cause is max((order.cause for order in given_orders), key=causes.index)
    assert standing.at == min((order.at for order in given_orders if order.at is not None), default=None)


def test_an_agent_that_comes_back_in_the_same_boot_goes_on_with_it(journal: Journal) -> None:
    first = Orders(FakeRuntime(), journal, "boot-1")
    assert first.standing is None
    for order in (NOTICED, ASKED, LIMIT):
        first.give(order)
    standing = Orders(FakeRuntime(), journal, "boot-1").standing
    assert standing == Order(Cause.LIMIT, Phase.FAILED, "it has run for 3 days", 1_700_000_120.0)
    assert Orders(FakeRuntime(), journal, "boot-2").standing is None


def test_a_journal_that_cannot_be_written_does_not_keep_an_order_from_standing(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = Orders(FakeRuntime(), journal, "boot-1")

    def full(key: str, value: str) -> None:
        raise JournalError("the journal can't be written", "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(journal, "put", full)
        orders.give(NOTICED)
    assert orders.standing == NOTICED
    assert journal.get(MEMORY) is None
    orders.keep()
    assert Orders(FakeRuntime(), journal, "boot-1").standing == NOTICED


@pytest.mark.parametrize("text", ["", "x", "[]", '["boot-1"]', '["boot-1","fire","stopped","why",null]', '{"a": 1}'])
def test_what_cannot_be_read_is_as_if_there_had_been_none(journal: Journal, text: str) -> None:
    journal.put(MEMORY, text)
    assert Orders(FakeRuntime(), journal, "boot-1").standing is None
