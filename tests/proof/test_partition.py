"""A minute in which every packet between agent and S3 is lost; what was written meanwhile follows. Needs root and iptables."""

from __future__ import annotations

import time

from runctl_simulator.seaweed import SeaweedFS
from tests.proof.proven import Proven, cut_off

MINUTE = 60.0


def test_what_was_written_meanwhile_is_safe_after_it(proven: Proven, own: SeaweedFS) -> None:
    with proven.running() as process:
        proven.save(1, 40_000_000)
        proven.wait_for(lambda status: status["sent_bytes"] > 0 or status["commits"] > 0, process)
        with cut_off(own.endpoint):
            for step in range(2, 12):
                proven.save(step, 1_000_000)
                time.sleep(MINUTE / 10)  # the minute is what is tested
            proven.wait_for(lambda status: status["pending_checkpoints"] >= 10 and bool(status["error"]), process)
        proven.wait_for(lambda status: status["pending_checkpoints"] == 0 and status["commits"] == 11, process, seconds=300)
    print(f"cut off for a minute: {proven.prove()}")
