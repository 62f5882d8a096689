"""401: the token has expired, or the service takes none that it gives."""

from __future__ import annotations

from runctl_agent.life.notices import BLIND, EVERY
from runctl_simulator.imds import ImdsServer
from tests.fakes.lookout import Lookout


def test_a_new_token_is_had_in_the_same_look(lookout: Lookout, imds: ImdsServer) -> None:
    lookout.look()
    imds.forget_tokens()
    imds.interrupt_spot("terminate", at := lookout.time(120))
    assert lookout.look() == EVERY
    assert lookout.shown == [("spot terminate", at.timestamp())]
    assert lookout.notices.problem == ""
    assert [status for method, _, status in imds.requests if method == "PUT"] == [200, 200], "and no more than one"


def test_no_token_is_taken(lookout: Lookout, imds: ImdsServer) -> None:
    imds.interrupt_spot("terminate", at := lookout.time(120))
    lookout.look()
    imds.fail_next(401, times=10_000, path="meta-data")
    lookout.look()
    lookout.runtime.advance(BLIND)
    assert lookout.look() > EVERY
    assert "HTTP 401" in lookout.notices.problem
    assert lookout.shown == [("spot terminate", at.timestamp())]
