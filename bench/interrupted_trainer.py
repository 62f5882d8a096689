"""A tiny training at a stated pace that says to a file outside its machine what it did. Run as a script.

A line of that file is `life start|step number time`, in wall-clock seconds; the life has a name of its own. It starts from the
checkpoint in RUNCTL_RESUME_FROM, or, where nobody sets that, from the newest in its own directory that can be read. It saves
every so many steps, by rename, and, unless it is `--deaf`, once more on SIGTERM, with which a shutdown begins too.
"""

from __future__ import annotations

import argparse
import os
import pickle
import signal
import sys
import time
import uuid
import zipfile
from pathlib import Path


def load(path: Path) -> int:
    """Its step; 0: it can't be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return int(pickle.loads(archive.read("model/data.pkl")))
    except (OSError, zipfile.BadZipFile, KeyError):
        return 0


def save(folder: Path, step: int, size: int) -> None:
    part = folder / f"part_{step}.tmp"
    with zipfile.ZipFile(part, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps(step))
        archive.writestr("model/data/0", os.urandom(size))
    os.replace(part, folder / f"model_step_{step}.pt")


def resumed(folder: Path) -> int:
    given = os.environ.get("RUNCTL_RESUME_FROM")
    if given is not None:
        return load(Path(given)) if given else 0
    return max((load(path) for path in folder.glob("model_step_*.pt")), default=0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, default=Path("checkpoints"))
    parser.add_argument("--log", required=True)
    parser.add_argument("--pace", type=float, required=True, help="seconds a step")
    parser.add_argument("--every", type=int, required=True, help="steps between saves")
    parser.add_argument("--size", type=int, required=True, help="bytes of a checkpoint")
    parser.add_argument("--deaf", action="store_true")
    options = parser.parse_args()
    told: list[int] = []
    signal.signal(signal.SIGTERM, signal.SIG_DFL if options.deaf else lambda number, _: told.append(number))
    log = os.open(options.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    life = uuid.uuid4().hex
    options.dir.mkdir(parents=True, exist_ok=True)
    step = resumed(options.dir)
    os.write(log, f"{life} start {step} {time.time()}\n".encode())
    due = time.monotonic()
    while not told:
        due += options.pace
        time.sleep(max(0.0, due - time.monotonic()))
        step += 1
        os.write(log, f"{life} step {step} {time.time()}\n".encode())
        if step % options.every == 0:
            save(options.dir, step, options.size)
    if told and step % options.every:
        save(options.dir, step, options.size)
    sys.exit(143)


if __name__ == "__main__":
    main()
