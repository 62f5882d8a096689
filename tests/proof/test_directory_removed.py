"""The watched directory is removed with all that is in it, and made again, while the server can't be reached."""

from __future__ import annotations

import shutil

from runctl_simulator.seaweed import SeaweedFS
from tests.proof.proven import Proven

TIMES = 3


def test_what_was_in_it_is_safe_and_what_comes_is_seen(proven: Proven, own: SeaweedFS) -> None:
    with proven.running() as process:
        for _ in range(TIMES):
            own.kill()
            for _ in range(3):
                proven.save(len(proven.sizes) + 1, 1_000_000)
            proven.wait_for(lambda status: status["pending_checkpoints"] == 3, process)
            shutil.rmtree(proven.watched)
            own.start()
            proven.wait_for(lambda status: status["pending_checkpoints"] == 0, process)
            proven.wait_for(lambda status: f"{proven.watched} does not exist" in status["error"], process)
            proven.watched.mkdir()
            proven.save(len(proven.sizes) + 1, 1_000_000)
            proven.until_all_is_sent(process)
    print(f"removed and made again {TIMES} times: {proven.prove()}")
