"""`python -m tests.fuzz.run [TARGET …] [--seconds 600] [--side-by-side 2]`: a long search by atheris, guided by coverage.

Each reader is searched in a process of its own. What fails is saved in `build/fuzz/<target>/failures`, with what it raised;
what is new goes to the kept corpus, smallest first, while there is room. Needs the extra `fuzz`.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .keep import keep_new
from .targets import TARGETS
from .trial import kept

BUILD = Path("build") / "fuzz"
KIB = 1024


@dataclass(frozen=True)
class Search:
    """What a search found, as its process wrote it down."""

    name: str
    executions: int
    outcomes: int
    peak: int
    slowest: float
    failures: int
    new: int

    def __str__(self) -> str:
        figures = f"{self.executions:>11,} {self.outcomes:>8,} {self.peak / KIB:>8,.0f} {self.slowest * 1000:>9.0f}"
        return f"{self.name:<18}{figures} {self.failures:>8} {self.new:>4}"


HEADING = f"{'target':<18}{'executions':>11} {'outcomes':>8} {'peak KiB':>8} {'slowest ms':>9} {'failures':>8} {'new':>4}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=600, help="for each target")
    parser.add_argument("--side-by-side", type=int, default=2, metavar="N", help="so many targets at once")
    parser.add_argument("--forget", action="store_true", help="leave the kept corpus as it is")
    asked = parser.parse_args()
    if unknown := set(asked.targets) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}: there are {', '.join(TARGETS)}")
    logging.disable(logging.CRITICAL)
    print(HEADING, flush=True)
    with ThreadPoolExecutor(asked.side_by_side) as pool:
        searches = [pool.submit(_search, name, asked.seconds, keep=not asked.forget) for name in asked.targets or TARGETS]
        found = [_shown(one.result()) for one in searches]
    sys.exit(any(one.failures for one in found))


def _shown(search: Search) -> Search:
    print(search, flush=True)
    return search


def _search(name: str, seconds: int, *, keep: bool) -> Search:
    place = BUILD / name
    inputs = place / "inputs"
    inputs.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(place / "failures", ignore_errors=True)  # of an earlier search: mended, or found again
    for number, body in enumerate(kept(TARGETS[name])):
        (inputs / f"kept-{number:04d}").write_bytes(body)
    with tempfile.TemporaryDirectory() as scratch, open(place / "log", "wb") as log:
        figures = Path(scratch) / "figures"
        argv = [sys.executable, "-m", "tests.fuzz.engine", name, str(place), str(figures), str(seconds)]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=2 * seconds + 600, check=False)
        plain = json.loads(figures.read_text(encoding="utf-8")) if figures.exists() else {}
    failures = len(list((place / "failures").glob("*.txt"))) + (done.returncode != 0)
    new = keep_new(TARGETS[name], [path.read_bytes() for path in inputs.iterdir()]) if keep else 0
    figures_of = {key: plain.get(key, 0) for key in ("executions", "outcomes", "peak", "slowest")}
    return Search(name, failures=failures, new=new, **figures_of)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    main()
