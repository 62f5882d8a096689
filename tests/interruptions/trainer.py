"""A training whose weights tell every step that was left out, or done twice. Run as a script; saves on SIGTERM."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import time
import zipfile
from pathlib import Path

SIZE = 1000
EVERY = 5


def step_on(weights: list[float], step: int) -> list[float]:
    return [(weight * 1.0000001 + step * (n + 1)) % 1000.0 for n, weight in enumerate(weights)]


def trained(steps: int) -> list[float]:
    """The weights of a training that nothing interrupts."""
    weights = [0.0] * SIZE
    for step in range(1, steps + 1):
        weights = step_on(weights, step)
    return weights


def load(path: str) -> tuple[int, list[float]]:
    with zipfile.ZipFile(path) as archive:
        step, weights = pickle.loads(archive.read("model/data.pkl"))
    return step, weights


def save(folder: Path, step: int, weights: list[float]) -> None:
    part = folder / f"part_{step}.tmp"
    with zipfile.ZipFile(part, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps((step, weights)))
    os.replace(part, folder / f"model_step_{step}.pt")
    print(f"saved step {step}", flush=True)


def main() -> None:
    last, pace = int(sys.argv[1]), float(sys.argv[2])
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
    folder = Path(os.environ["RUNCTL_CHECKPOINT_DIR"])
    resumed = os.environ["RUNCTL_RESUME_FROM"]
    step, weights = load(resumed) if resumed else (0, [0.0] * SIZE)
    while step < last and not told:
        step += 1
        weights = step_on(weights, step)
        time.sleep(pace)
        if step % EVERY == 0 or step == last:
            save(folder, step, weights)
    if told and step % EVERY and step != last:
        save(folder, step, weights)
    sys.exit(143 if told and step < last else 0)


if __name__ == "__main__":
    main()
