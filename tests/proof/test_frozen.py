"""A minute in which nothing moves: the server that does not answer, the agent that is stopped (SIGSTOP)."""

from __future__ import annotations

import os
import signal
import time

import pytest

from runctl_simulator.seaweed import SeaweedFS
from tests.proof.proven import Proven

MINUTE = 60.0


@pytest.mark.parametrize("who", ["server", "agent"])
def test_what_was_written_meanwhile_is_safe_after_it(proven: Proven, own: SeaweedFS, who: str) -> None:
    with proven.running() as process:
        proven.save(1, 40_000_000)
        proven.wait_for(lambda status: status["sent_bytes"] > 0 or status["commits"] > 0, process)
        frozen = own.pid if who == "server" else process.pid
        os.kill(frozen, signal.SIGSTOP)
        try:
            for step in range(2, 12):
                proven.save(step, 1_000_000)
                time.sleep(MINUTE / 10)  # the minute is what is tested
            if who == "server":
                status = proven.wait_for(lambda status: status["pending_checkpoints"] >= 10, process)
                assert status["failures"] or status["error"] or status["pending_since"], "it says that it is behind"
        finally:
            os.kill(frozen, signal.SIGCONT)
        proven.wait_for(lambda status: status["pending_checkpoints"] == 0 and status["commits"] == 11, process, seconds=300)
    print(f"{who} frozen for a minute: {proven.prove()}")
