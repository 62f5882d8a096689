"""EC2 hibernates the instance: it is told, and nothing is taken away; another action after it is a notice of its own."""

from __future__ import annotations

import pytest

from runctl_simulator.imds import SPOT, ImdsServer
from tests.fakes.lookout import Lookout


def test_a_hibernated_machine_is_not_taken_away(lookout: Lookout, imds: ImdsServer) -> None:
    imds.interrupt_spot("hibernate", at := lookout.time(0))
    lookout.look(3)
    assert (lookout.shown, lookout.news) == ([("spot hibernate", at.timestamp())], 1)
    assert lookout.notices.taking is None
    imds.interrupt_spot("terminate", at := lookout.time(120))
    lookout.look()
    assert (lookout.shown, lookout.news) == ([("spot terminate", at.timestamp())], 2)
    assert lookout.notices.taking is not None


@pytest.mark.parametrize("action", ["stop", "terminate"])
def test_a_stopped_one_is(lookout: Lookout, imds: ImdsServer, action: str) -> None:
    imds.interrupt_spot(action, lookout.time(120))
    lookout.look()
    assert lookout.notices.taking is not None


def test_it_takes_itself_back_when_the_machine_wakes(lookout: Lookout, imds: ImdsServer) -> None:
    imds.interrupt_spot("hibernate", lookout.time(0))
    lookout.look()
    imds.withdraw(SPOT)
    lookout.look()
    assert lookout.shown == []
