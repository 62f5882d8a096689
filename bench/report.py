"""How a benchmark says what it found: a table for people, one JSON document for programs, and on which machine.

A benchmark is a module `bench.<name>` with `BENCH`; run it as `python -m bench.<name> [--json] [--quick]`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import ssl
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

Document = dict[str, Any]
"""What `--json` prints: figures under the names that the goals use, and what they were taken from."""


@dataclass(frozen=True)
class Bench:
    """`goals`: the name of a figure to what it should be at most, or at least (`>= 1.0`)."""

    name: str
    title: str
    goals: Mapping[str, str]
    run: Callable[[argparse.Namespace], Document]
    table: Callable[[Document], str]
    options: Callable[[argparse.ArgumentParser], None] = lambda parser: None

    def main(self, arguments: Sequence[str] | None = None) -> None:
        parser = argparse.ArgumentParser(prog=f"python -m bench.{self.name}", description=self.title)
        parser.add_argument("--json", action="store_true", help="one JSON document on stdout, nothing else")
        parser.add_argument("--quick", action="store_true", help="as small as can be: whether it works, not what it costs")
        self.options(parser)
        options = parser.parse_args(arguments)
        leave_aws_settings()
        document = {"bench": self.name, "machine": machine(), **self.run(options), "goals": dict(self.goals)}
        sys.stdout.write((json.dumps(document) if options.json else self.table(document)) + "\n")


def leave_aws_settings() -> None:
    """Nothing of this machine's own AWS settings reaches a benchmark."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull, NO_PROXY="127.0.0.1")


def machine() -> Document:
    """Where and when."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
    }


def versions(*packages: str) -> dict[str, str]:
    """Of distributions that are installed; of the others nothing."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def grid(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns: the first to the left, the others to the right."""
    lines = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(head))]

    def laid(line: Sequence[str]) -> str:
        cells = [
            cell.ljust(width) if n == 0 else cell.rjust(width) for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join([laid(lines[0]), "  ".join("-" * width for width in widths), *map(laid, lines[1:])])


def percentile(taken: Sequence[float], of_hundred: int) -> float:
    """Between the two nearest; of two or more."""
    return statistics.quantiles(taken, n=100, method="inclusive")[of_hundred - 1]


def meets(value: float, goal: str) -> bool:
    """
    >>> meets(0.9, "<= 1.0"), meets(0.9, ">= 1.0")
    (True, False)
    """
    relation, limit = goal.split()
    return value <= float(limit) if relation == "<=" else value >= float(limit)


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
