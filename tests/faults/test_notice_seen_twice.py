"""The same notice stands there at every look, and before every agent: it is news once."""

from __future__ import annotations

import pytest

from runctl_agent.store.journal import Journal
from runctl_simulator.imds import ImdsServer, ScheduledEvent
from tests.fakes.lookout import Lookout


def test_by_one_agent(lookout: Lookout, imds: ImdsServer) -> None:
    at = lookout.time(120)
    imds.interrupt_spot("terminate", at)
    imds.set_lifecycle_state("Terminated")
    imds.recommend_rebalance(at)
    imds.schedule(ScheduledEvent("system-reboot", at, at))
    lookout.look(10)
    assert (len(lookout.shown), lookout.news) == (4, 4)


def test_by_the_next_agent(lookout: Lookout, imds: ImdsServer, notices_journal: Journal) -> None:
    imds.interrupt_spot("terminate", at := lookout.time(120))
    lookout.look()
    second = Lookout(notices_journal, imds)
    assert second.shown == [("spot terminate", at.timestamp())], "before it has looked itself"
    second.look(3)
    assert (second.shown, second.news) == (lookout.shown, 0)


def test_by_an_agent_of_another_boot(lookout: Lookout, imds: ImdsServer, notices_journal: Journal) -> None:
    """What took the machine before does not take the one that came up."""
    imds.interrupt_spot("terminate", lookout.time(120))
    lookout.look()
    assert Lookout(notices_journal, imds, boot_id="another").shown == []


@pytest.mark.parametrize("ahead", [90, 150])
def test_another_time_is_another_notice(lookout: Lookout, imds: ImdsServer, ahead: float) -> None:
    imds.interrupt_spot("terminate", lookout.time(120))
    lookout.look()
    imds.interrupt_spot("terminate", at := lookout.time(ahead))
    lookout.look(3)
    assert (lookout.shown, lookout.news) == ([("spot terminate", at.timestamp())], 2)
