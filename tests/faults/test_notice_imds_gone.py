"""The metadata service is gone: what was announced stands, people are told, and a notice is seen once it is back."""

from __future__ import annotations

from runctl_agent.life.notices import BLIND, EVERY, SLOWEST
from runctl_agent.store.journal import Journal
from runctl_simulator.imds import ImdsServer
from tests.fakes.lookout import Lookout


def test_gone_and_back(notices_journal: Journal) -> None:
    with ImdsServer(life_cycle="spot") as first:
        port = int(first.endpoint.rpartition(":")[2])
        lookout = Lookout(notices_journal, first)
        at = lookout.time(120)
        first.recommend_rebalance(at)
        first.interrupt_spot("terminate", at)
        lookout.look()
    shown = [("spot terminate", at.timestamp()), ("rebalance recommended", at.timestamp())]
    assert lookout.shown == shown
    pauses = [lookout.look() for _ in range(6)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == SLOWEST
    assert (lookout.shown, lookout.notices.problem) == (shown, "")
    lookout.runtime.advance(BLIND)
    lookout.look()
    assert "no notice would be seen" in lookout.notices.problem
    assert "Connection refused" in lookout.notices.problem
    assert lookout.shown == shown, "what was announced may still come"
    with ImdsServer(life_cycle="spot", port=port) as second:
        second.set_lifecycle_state("Terminated")
        assert lookout.look() == EVERY
    assert lookout.notices.problem == ""
    assert [text for text, _ in lookout.shown] == ["spot terminate", "group terminate"], (
        "a recommendation is taken back by silence"
    )


def test_one_that_was_never_there(notices_journal: Journal) -> None:
    with ImdsServer() as server:
        lookout = Lookout(notices_journal, server)
    lookout.look(20)
    assert (lookout.shown, lookout.news) == ([], 0)
    assert "no notice would be seen" in lookout.notices.problem
