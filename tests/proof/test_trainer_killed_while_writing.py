"""kill -9 of a trainer in the middle of a write, 30 times: what was finished is safe, what was not is not complete."""

from __future__ import annotations

import random
import subprocess
import sys

from tests.e2e.committed import committed
from tests.proof.proven import Proven

TRAINER = """
import sys
step = int(sys.argv[1])
while True:
    with open(f"checkpoints/model_step_{step}.pkl", "wb") as file:
        file.write(bytes([0x80, 4]))  # PROTO 4
        for _ in range(100):
            file.write(bytes(10_000))
            file.flush()
        file.write(b".")  # STOP
    print(step, flush=True)
    step += 1
"""


def test_only_what_was_finished_is_complete(proven: Proven) -> None:
    chance, step, finished = random.Random(1), 1, set()
    with proven.running() as process:
        for _ in range(30):
            trainer = subprocess.Popen(
                [sys.executable, "-c", TRAINER, str(step)], cwd=proven.place, stdout=subprocess.PIPE, text=True
            )
            with trainer:
                assert trainer.stdout is not None
                for _ in range(chance.randrange(1, 4)):
                    finished.add(step := int(trainer.stdout.readline()))
                trainer.kill()
                finished.update(int(line) for line in trainer.stdout)
            step = max(finished) + 2  # the one after it may be half written, and stays so
        wanted = {f"model_step_{one}.pkl" for one in finished}
        proven.wait_for(lambda _: wanted <= {one.checkpoint for one in committed(proven.s3)}, process, seconds=300)
    complete = {one.checkpoint for one in committed(proven.s3) if one.complete}
    assert complete >= wanted
    for extra in complete - wanted:
        assert (proven.watched / extra).stat().st_size == 1_000_003, "all of it was written, it only could not be said"
    print(f"30 kills: {len(wanted)} finished, all complete; {len(complete - wanted)} more that were whole")
