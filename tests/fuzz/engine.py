"""One search, in the process that libFuzzer takes over: `python -m tests.fuzz.engine TARGET PLACE FIGURES SECONDS`."""

from __future__ import annotations

import hashlib
import json
import logging
import resource
import sys
import traceback
import tracemalloc
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["runctl", "runctl_agent", "tarfile", "yaml"]):
    from .targets import TARGETS

from .mutation import Mutator
from .trial import Trial, attempt, kept, weighed

LARGEST_INPUT = 256 * 1024
ROOM = 2**30
GREW = 4096
"""KiB by which one input makes the process larger, and is weighed for."""

WEIGHED = 256
"""One input of so many is weighed anyway; so is each with an outcome that is new."""

MOST_FAILURES = 40


class Searcher:
    """What libFuzzer calls; figures are written down now and then, as it ends the process without a word."""

    def __init__(self, name: str, place: Path, figures: Path) -> None:
        self._target = TARGETS[name]
        self._failures = place / "failures"
        self._failures.mkdir(parents=True, exist_ok=True)
        self._figures = figures
        self._outcomes: set[str] = set()
        self._failed: set[str] = set()
        self._executions = 0
        self._peak = 0
        self._slowest = 0.0
        self._largest = _largest()
        self._mutator = Mutator(1, kept(self._target), self._target.deepest)

    def one(self, body: bytes) -> None:
        trial = attempt(self._target, body)
        self._executions += 1
        grown = _largest()
        new = trial.outcome not in self._outcomes and len(self._outcomes) < 5000
        if new or grown - self._largest > GREW or self._executions % WEIGHED == 0:
            self._largest = max(grown, self._largest)
            trial = self._weighed(body, trial)
        self._outcomes.add(trial.outcome[:300])
        self._slowest = max(self._slowest, trial.seconds)
        if trial.failure:
            self._fail(body, trial)
        if new or self._executions % 200 == 0:
            self._write()

    def mutate(self, body: bytes, longest: int, seed: int) -> bytes:
        """Half of them blind, as libFuzzer does it best; half by who knows the format."""
        if seed % 2:
            blind: bytes = atheris.Mutate(body, longest)
            return blind
        return self._mutator.mutated(body)[:longest]

    def _weighed(self, body: bytes, trial: Trial) -> Trial:
        tracemalloc.start()
        try:
            found = weighed(self._target, body)
        finally:
            tracemalloc.stop()
        self._peak = max(self._peak, found.peak)
        return Trial(trial.outcome, trial.failure or found.failure, found.peak, trial.seconds)

    def _fail(self, body: bytes, trial: Trial) -> None:
        """Once for each place in the code, or where it is memory, each outcome."""
        where = trial.outcome
        report = trial.failure
        try:
            self._target.read(body)
        except self._target.raises:
            pass
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{type(error).__name__} {last.filename}:{last.lineno}"
            report += "\n" + "".join(traceback.format_exception(error, limit=-8))
        if where in self._failed or len(self._failed) >= MOST_FAILURES:
            return
        self._failed.add(where)
        name = hashlib.sha256(where.encode()).hexdigest()[:12]
        (self._failures / name).write_bytes(body)
        (self._failures / f"{name}.txt").write_text(report, encoding="utf-8", errors="backslashreplace")

    def _write(self) -> None:
        figures = {
            "executions": self._executions,
            "outcomes": len(self._outcomes),
            "peak": self._peak,
            "slowest": self._slowest,
        }
        self._figures.write_text(json.dumps(figures), encoding="utf-8")


def _largest() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    name, place, figures, seconds = sys.argv[1:5]
    logging.disable(logging.CRITICAL)
    searcher = Searcher(name, Path(place), Path(figures))
    options = [f"-max_total_time={seconds}", f"-max_len={LARGEST_INPUT}", "-len_control=20", "-timeout=120", "-rss_limit_mb=2048"]
    artifacts = f"-artifact_prefix={place}/failures/"
    atheris.Setup(
        [sys.argv[0], *options, artifacts, "-use_value_profile=1", f"{place}/inputs"],
        searcher.one,
        custom_mutator=searcher.mutate,
    )
    in_use = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + 2 * ROOM, resource.RLIM_INFINITY))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
