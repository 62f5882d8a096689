"""What stands in the metadata can't be read: it is taken for what it may be, and its problem is told."""

from __future__ import annotations

import pytest

from runctl_agent.life.notices import EVERY
from runctl_agent.training.risk import NOTICE
from runctl_simulator.imds import LIFECYCLE_STATE, REBALANCE, SCHEDULED, SPOT, ImdsServer
from tests.fakes.lookout import Lookout

GARBAGE = [
    "",
    "<html>",
    "[",
    "null",
    "5",
    '{"action": 5, "time": []}',
    '{"action": "terminate", "time": "in a while"}',
    "[" * 60_000,
]


@pytest.mark.parametrize("body", GARBAGE, ids=range(len(GARBAGE)))
def test_a_spot_notice_is_one_and_two_minutes_from_the_first_sight(lookout: Lookout, imds: ImdsServer, body: str) -> None:
    imds.garble(SPOT, body)
    first = lookout.runtime.now()
    lookout.look()
    lookout.runtime.advance(30)
    lookout.look()
    (seen,) = lookout.notices.standing
    assert (seen.notice.takes, seen.at, lookout.news) == (True, first + NOTICE, 1)
    assert "no time in" in seen.notice.problem


@pytest.mark.parametrize("path", [LIFECYCLE_STATE, REBALANCE, SCHEDULED])
@pytest.mark.parametrize("body", GARBAGE, ids=range(len(GARBAGE)))
def test_nothing_else_that_cannot_be_read_takes_the_machine(lookout: Lookout, imds: ImdsServer, path: str, body: str) -> None:
    imds.garble(path, body)
    assert lookout.look() == EVERY
    assert lookout.notices.taking is None
    assert all(seen.notice.problem for seen in lookout.notices.standing)


@pytest.mark.parametrize("path", [LIFECYCLE_STATE, REBALANCE, SCHEDULED])
def test_it_hides_no_other(lookout: Lookout, imds: ImdsServer, path: str) -> None:
    imds.garble(path, "<html>")
    imds.interrupt_spot("terminate", at := lookout.time(120))
    lookout.look()
    assert lookout.shown[0] == ("spot terminate", at.timestamp())
