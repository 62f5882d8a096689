"""docs/mutation.md, from the outcomes of every module."""

from __future__ import annotations

from pathlib import Path

from .modules import TESTS
from .outcomes import Outcomes, judgements

_PAGE = Path("docs", "mutation.md")
_WHAT = """\
Written by `make mutation` (`python -m tests.mutation [MODULE ...]`). Each mutant is the module with one small change: a
comparison, a sign, a condition, a number or a boolean turned around, `and` for `or`, a statement left out, a loop over nothing.
It is killed if one of the tests that go through its line fails (`tests/mutation/modules.py`: which are asked). What survives is
judged in `tests/mutation/judged.toml`; a survivor without a judgement fails the run. Annotations, and what `@dataclass` is told,
are not mutated, nor are strings."""


def write() -> None:
    every = [Outcomes.read(module) for module in TESTS if Outcomes.there(module)]
    missing = [module for module in TESTS if not Outcomes.there(module)]
    survivors = [line for outcomes in every for line in _survivors(outcomes)]
    _PAGE.write_text("\n".join([*_head(every), *_not_run(missing), *survivors]) + "\n")


def _head(every: list[Outcomes]) -> list[str]:
    rows = [(len(one.survivors), one.mutants, len(one.unjudged()), f"`{one.module}`") for one in every]
    total = sum(row[0] for row in rows), sum(row[1] for row in rows), sum(row[2] for row in rows), "all"
    return [
        "# Mutation testing",
        "",
        *_WHAT.splitlines(),
        "",
        "| module | mutants | killed | judged equivalent | neither |",
        "|---|---:|---:|---:|---:|",
        *(f"| {name} | {all_} | {all_ - left} | {left - open_} | {open_} |" for left, all_, open_, name in (*rows, total)),
    ]


def _not_run(missing: list[str]) -> list[str]:
    return ["", f"Not run yet: {', '.join(f'`{module}`' for module in missing)}."] if missing else []


def _survivors(outcomes: Outcomes) -> list[str]:
    if not outcomes.survivors:
        return []
    known = judgements(outcomes.module)
    by_reason: dict[str, list[str]] = {}
    for change in outcomes.survivors:
        by_reason.setdefault(known.get(change, "not judged"), []).append(change)
    return ["", f"## {outcomes.module}", *(line for why, changes in by_reason.items() for line in _reason(why, changes))]


def _reason(why: str, changes: list[str]) -> list[str]:
    return ["", f"{why}:", "", *(f"- ``{change}``" for change in changes)]
