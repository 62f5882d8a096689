"""kill -9 of the agent 200 times, at random moments, while 50 checkpoints of 1 KB to 32 MB are written beside it."""

from __future__ import annotations

import random
import subprocess
import time

from tests.proof.proven import Proven

KILLS, CHECKPOINTS, SEED = 200, 50, 20261127


def test_nothing_is_lost_or_doubled(proven: Proven) -> None:
    chance, saved = random.Random(SEED), 0
    for kill in range(KILLS):
        process = proven.start()
        if saved < CHECKPOINTS and kill * CHECKPOINTS >= saved * KILLS:
            saved += 1
            proven.save(saved, int(10 ** chance.uniform(3, 7.5)))
        try:
            code = process.wait(chance.uniform(0.05, 2.5))  # the moment is the test: it is not waited for anything
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        assert code == -9, proven.log.read_text()[-3000:]
    began = time.monotonic()
    proven.until_all_is_safe()
    assert "Traceback" not in proven.log.read_text()
    print(f"{KILLS} kills: {proven.prove()}; all of it safe {time.monotonic() - began:.1f} s after the last")
