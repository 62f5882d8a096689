"""kill -9 of the server in the middle of uploads, five times, and its return with what it had stored."""

from __future__ import annotations

import random

from runctl_simulator.seaweed import SeaweedFS
from tests.proof.proven import Proven

KILLS, AT_A_TIME = 5, 4


def test_what_was_written_meanwhile_is_safe_after_it(proven: Proven, own: SeaweedFS) -> None:
    chance = random.Random(3)
    with proven.running() as process:
        for _ in range(KILLS):
            proven.until_it_sends(process, len(proven.sizes) + 1, 30_000_000)
            own.kill()
            for _ in range(AT_A_TIME - 1):
                proven.save(len(proven.sizes) + 1, int(10 ** chance.uniform(3, 6.5)))
            status = proven.wait_for(lambda status: status["failures"] > 0 and status["pending_checkpoints"] >= 3, process)
            assert status["error"], "it says what is wrong"
            own.start()
            proven.until_all_is_sent(process)
    print(f"server killed {KILLS} times: {proven.prove()}")
