"""A training: it counts its steps, does what its standard input says, and notes every signal that it gets.

`save STEP SIZE` is answered by `saved`, or by why it could not; `steps` by their number; `end` by the signals. It writes as
trainers do that know what they do: beside the watched directory, and then a rename.
"""

from __future__ import annotations

import os
import random
import select
import signal
import sys
from contextlib import suppress
from pathlib import Path

STEP = 0.01
"""Seconds."""


def body(step: int, size: int) -> bytes:
    return random.Random(step).randbytes(size)


def save(disk: Path, step: int, size: int) -> str:
    new = disk / "new"
    try:
        new.write_bytes(body(step, size))
        os.rename(new, disk / "checkpoints" / f"model_step_{step}.bin")
    except OSError as error:
        with suppress(OSError):
            new.unlink()
        return error.strerror or str(error)
    return "saved"


def train(disk: Path) -> None:
    steps, got = 0, []
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
        signal.signal(number, lambda number, _: got.append(signal.Signals(number).name))
    while True:
        steps += 1
        if not select.select([sys.stdin], [], [], STEP)[0]:
            continue
        match sys.stdin.readline().split():
            case ["save", step, size]:
                print(save(disk, int(step), int(size)), flush=True)
            case ["steps"]:
                print(steps, flush=True)
            case _:
                print(",".join(got), flush=True)
                return


if __name__ == "__main__":
    train(Path(sys.argv[1]))
