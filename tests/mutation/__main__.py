"""Mutation testing of the core: python -m tests.mutation [MODULE ...]; --again: only what survived the last time, unjudged.

What survives and is not judged in judged.toml is printed, and is a failure. Outcomes lie in tests/mutation/outcomes, and
docs/mutation.md is written from them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import report
from .modules import PACKAGE, TESTS
from .mutants import Mutant, mutants_of
from .outcomes import Outcomes
from .trial import Trials


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(TESTS)}")
    parser.add_argument("--again", action="store_true", help="only what survived the last time and is not judged")
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    unknown = set(asked.modules) - TESTS.keys()
    if unknown:
        parser.error(f"not mutated: {', '.join(sorted(unknown))}")
    survived = [change for module in asked.modules or TESTS for change in _mutate(module, asked.processes, again=asked.again)]
    report.write()
    return 1 if survived else 0


def _mutate(module: str, processes: int, *, again: bool) -> list[str]:
    """What survived of it and is not judged."""
    path = Path("agent", PACKAGE, *module.split(".")).with_suffix(".py")
    mutants = mutants_of(path)
    outcomes = Outcomes.read(module) if again else Outcomes(module, len(mutants), [])
    judged: list[str] = []
    if again:
        mutants = [one for one in mutants if one.change in outcomes.unjudged()]
        judged = sorted(set(outcomes.survivors) - set(outcomes.unjudged()))
    survivors = [*judged, *(_survivors(module, path, mutants, processes) if mutants else [])]
    outcomes = Outcomes(module, outcomes.mutants, survivors)
    outcomes.write()
    unjudged = outcomes.unjudged()
    print(f"{module}: {outcomes.mutants} mutants, {len(survivors)} survived, {len(unjudged)} of them not judged")
    for change in unjudged:
        print(f"  {change}")
    sys.stdout.flush()
    return unjudged


def _survivors(module: str, path: Path, mutants: list[Mutant], processes: int) -> list[str]:
    with Trials(f"{PACKAGE}.{module}", path, [f"tests/{test}" for test in TESTS[module]]) as trials:
        return sorted(one.change for one in trials.survivors(mutants, processes))


if __name__ == "__main__":
    sys.exit(main())
