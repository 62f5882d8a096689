"""A trainer that saves every 50 ms and keeps two: each stands for a tenth of a second, which may be too short for the agent."""

from __future__ import annotations

import time

from tests.e2e.committed import committed
from tests.proof.proven import Proven

EVERY, KEPT, SAVES = 0.05, 2, 400


def test_what_is_caught_is_whole_and_what_stays_is_safe(proven: Proven) -> None:
    with proven.running() as process:
        began = time.monotonic()
        for step in range(1, SAVES + 1):
            proven.save(step, 20_000)
            old = proven.watched / f"model_step_{step - KEPT}.bin"
            old.unlink(missing_ok=True)
            time.sleep(max(0.0, began + step * EVERY - time.monotonic()))  # the pace is what is tested
        paced = time.monotonic() - began
        proven.wait_for(
            lambda status: status["pending_checkpoints"] == 0 and f"model_step_{SAVES}.bin" in names_of(proven),
            process,
            seconds=300,
        )
        took = time.monotonic() - began
    assert len(list(proven.watched.iterdir())) == KEPT, "nothing of the trainer's was touched"
    print(f"{SAVES} saves in {paced:.0f} s, all of it safe after {took:.0f} s: {proven.prove(fleeting=SAVES - KEPT)}")


def names_of(proven: Proven) -> set[str]:
    return {one.checkpoint for one in committed(proven.s3, proven.run)}
