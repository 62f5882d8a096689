"""The time of a notice has passed when it is seen: it is as it was told, and what takes the machine is taking it now."""

from __future__ import annotations

from runctl_simulator.imds import ImdsServer, ScheduledEvent
from tests.fakes.lookout import Lookout


def test_a_spot_notice(lookout: Lookout, imds: ImdsServer) -> None:
    imds.interrupt_spot("terminate", at := lookout.time(-300))
    lookout.look(3)
    assert (lookout.shown, lookout.news) == ([("spot terminate", at.timestamp())], 1)
    assert lookout.notices.taking is not None


def test_it_comes_before_one_that_is_still_to_come(lookout: Lookout, imds: ImdsServer) -> None:
    imds.interrupt_spot("terminate", at := lookout.time(-1))
    imds.set_lifecycle_state("Terminated")
    lookout.look()
    assert lookout.notices.taking is not None
    assert lookout.notices.taking.at == at.timestamp()


def test_what_takes_nothing(lookout: Lookout, imds: ImdsServer) -> None:
    imds.recommend_rebalance(lookout.time(-3600))
    imds.schedule(ScheduledEvent("system-reboot", lookout.time(-3600), lookout.time(-1800)))
    lookout.look(3)
    assert [text for text, _ in lookout.shown] == ["rebalance recommended", "event system-reboot"]
    assert (lookout.notices.taking, lookout.news) == (None, 2)
