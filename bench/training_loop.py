"""A real training on two CPU threads: three layers, forward, backward, Adam. Run as a script: the file of its steps."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runctl_simulator.processes import die_with_parent

THREADS = 2
WIDTH, BATCH = 768, 256
STEP = struct.Struct("dd")
"""When a step began and ended, in monotonic seconds."""


@contextmanager
def training(steps: Path) -> Iterator[None]:
    """While this lasts; its steps are in the file as they end."""
    env = {**os.environ, "OPENBLAS_NUM_THREADS": str(THREADS), "OMP_NUM_THREADS": str(THREADS)}
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.training_loop", str(steps)],
        env=env,
        stdout=subprocess.PIPE,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, no lock
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"training\n"
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def between(steps: Path, begin: float, end: float) -> list[float]:
    """Seconds of every step that lies whole between two moments."""
    whole = steps.stat().st_size // STEP.size * STEP.size
    return [done - began for began, done in STEP.iter_unpack(steps.read_bytes()[:whole]) if begin <= began and done <= end]


def main() -> None:
    import numpy

    draw = numpy.random.default_rng(1)
    weights = [draw.standard_normal((WIDTH, WIDTH), dtype=numpy.float32) / WIDTH**0.5 for _ in range(3)]
    first = [numpy.zeros_like(weight) for weight in weights]
    second = [numpy.zeros_like(weight) for weight in weights]
    given, wanted = (draw.standard_normal((BATCH, WIDTH), dtype=numpy.float32) for _ in range(2))

    def step() -> None:
        outputs = [given]
        for weight in weights:
            sums = outputs[-1] @ weight
            outputs.append(numpy.maximum(sums, numpy.float32(0.01) * sums))
        gradient = (outputs[-1] - wanted) / BATCH
        for place in reversed(range(3)):
            gradient = gradient * numpy.where(outputs[place + 1] > 0, numpy.float32(1), numpy.float32(0.01))
            change = outputs[place].T @ gradient
            gradient = gradient @ weights[place].T
            first[place] += 0.1 * (change - first[place])
            second[place] += 0.001 * (change * change - second[place])
            weights[place] -= 1e-3 * first[place] / (numpy.sqrt(second[place]) + 1e-8)

    with open(sys.argv[1], "ab", buffering=0) as file:
        step()
        print("training", flush=True)
        while True:
            began = time.monotonic()
            step()
            file.write(STEP.pack(began, time.monotonic()))


if __name__ == "__main__":
    main()
