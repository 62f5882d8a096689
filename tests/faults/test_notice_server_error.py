"""500: the metadata service fails."""

from __future__ import annotations

import pytest

from runctl_agent.life.notices import BLIND, EVERY, SLOWEST
from runctl_simulator.imds import SPOT, ImdsServer
from tests.fakes.lookout import Lookout


@pytest.mark.parametrize("path", ["api/token", "meta-data", SPOT])
def test_it_is_asked_more_seldom_and_a_notice_is_seen_at_last(lookout: Lookout, imds: ImdsServer, path: str) -> None:
    imds.fail_next(500, times=6, path=path)
    imds.interrupt_spot("terminate", at := lookout.time(120))
    pauses = [lookout.look() for _ in range(6)]
    assert (pauses[0], pauses[-1]) == (2 * EVERY, SLOWEST)
    assert pauses == sorted(pauses)
    assert (lookout.shown, lookout.notices.problem) == ([], ""), "a short silence is no news"
    assert lookout.look() == EVERY
    assert lookout.shown == [("spot terminate", at.timestamp())]
    assert lookout.news == 1


def test_for_long(lookout: Lookout, imds: ImdsServer) -> None:
    imds.interrupt_spot("terminate", at := lookout.time(120))
    lookout.look()
    imds.fail_next(500, times=10_000)
    lookout.look()
    lookout.runtime.advance(BLIND)
    lookout.look()
    assert "HTTP 500" in lookout.notices.problem
    assert lookout.shown == [("spot terminate", at.timestamp())]
