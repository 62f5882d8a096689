"""A training without torch: it writes archives as torch.save does, rotates them, and ends as it is told. Run as a script."""

from __future__ import annotations

import argparse
import os
import pickle
import random
import signal
import sys
import time
import zipfile
from pathlib import Path

LOOK = 0.02


def training(directory: Path, *, steps: int = 3, **options: object) -> list[str]:
    """The command. `options` are the script's own, with `_` for `-`."""
    command = [sys.executable, __file__, "--dir", str(directory), "--steps", str(steps)]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    return command


def body(step: int, size: int) -> bytes:
    return random.Random(step).randbytes(size)


def save(path: Path, step: int, size: int) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{path.stem}/data.pkl", pickle.dumps({"step": step}))
        archive.writestr(f"{path.stem}/data/0", body(step, size))


def saved(path: Path) -> bytes:
    """What `save` was given."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return archive.read(f"{path.stem}/data/0")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--size", type=int, default=10_000)
    parser.add_argument("--keep", type=int, default=1_000_000)
    parser.add_argument("--pace", type=float, default=0.0, help="seconds of work in a step")
    parser.add_argument("--until", type=Path, help="after the last step go on living until this file is there")
    parser.add_argument("--exit-code", type=int, default=0)
    parser.add_argument("--kill", type=int, default=0, help="a signal to die of")
    options = parser.parse_args()
    options.dir.mkdir(parents=True, exist_ok=True)
    for step in range(1, options.steps + 1):
        time.sleep(options.pace)
        save(options.dir / f"model_step_{step}.pt", step, options.size)
        (options.dir / f"model_step_{step - options.keep}.pt").unlink(missing_ok=True)
    while options.until is not None and not options.until.exists():
        time.sleep(LOOK)
    sys.stdout.write("the last line\n")
    sys.stdout.flush()
    if options.kill:
        os.kill(os.getpid(), signal.Signals(options.kill))
    sys.exit(options.exit_code)


if __name__ == "__main__":
    main()
