"""A training of the standard library only: `trainer.py STEPS END CODE`. SIGTERM is answered with a last checkpoint."""

import os
import signal
import sys
import time

STEPS, END, CODE = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
told: list[int] = []


def save(step: int) -> None:
    path = f"{os.environ['RUNCTL_CHECKPOINT_DIR']}/model_step_{step}.bin"
    with open(path + ".tmp", "wb") as file:
        file.write(b"%d" % step * 1000)
    os.rename(path + ".tmp", path)
    print("saved", step, flush=True)


signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
print("resume", [os.environ["RUNCTL_RESUME_FROM"]], "torchrun", os.environ["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"], flush=True)
for step in range(1, STEPS + 1):
    save(step)
while not told and not os.path.exists(END):
    time.sleep(0.02)
if told:
    save(STEPS + 1)
    sys.exit(128 + told[0])
sys.exit(CODE)
