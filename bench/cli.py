"""What the command line costs its user: `--help`, and `list` beside a bare boto3 paginator over the same instances."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.described import served
from bench.report import Bench, Document, grid

RUNCTL = str(Path(sys.executable).with_name("runctl"))
MANY = 10_000

PAGINATOR = """
import boto3
pages = boto3.client("ec2").get_paginator("describe_instances").paginate(Filters=[{"Name": "tag-key", "Values": ["runctl:run"]}])
print(sum(len(one["Instances"]) for page in pages for one in page["Reservations"]))
"""


def run(options: argparse.Namespace) -> Document:
    many, rounds = (20, 1) if options.quick else (MANY, options.rounds)
    with served(many) as endpoint:
        env = {
            **os.environ,
            "AWS_ENDPOINT_URL_EC2": endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
        }
        commands = {
            "runctl --help": [RUNCTL, "--help"],
            "runctl list": [RUNCTL, "list"],
            "runctl list --json": [RUNCTL, "list", "--json"],
            "boto3's paginator": [sys.executable, "-c", PAGINATOR],
            "python -c pass": [sys.executable, "-c", "pass"],
        }
        taken: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():  # in turn: what else the machine does meets all of them alike
                taken[name].append(_seconds(command, env))
    median = {name: statistics.median(seconds) for name, seconds in taken.items()}
    return {
        "help_ms": round(1000 * median["runctl --help"], 1),
        "list_10k_ratio": round(median["runctl list"] / median["boto3's paginator"], 3),
        "list_10k_json_ratio": round(median["runctl list --json"] / median["boto3's paginator"], 3),
        "seconds": {name: round(seconds, 3) for name, seconds in median.items()},
        "best": {name: round(min(seconds), 3) for name, seconds in taken.items()},
        "instances": many,
        "rounds": rounds,
    }


def _seconds(command: Sequence[str], env: dict[str, str]) -> float:
    began = time.monotonic()
    done = subprocess.run(command, env=env, capture_output=True, check=False)
    took = time.monotonic() - began
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return took


def table(document: Document) -> str:
    rows = [[name, seconds, document["best"][name]] for name, seconds in document["seconds"].items()]
    json_ratio = document["list_10k_json_ratio"]
    said = f"list {document['list_10k_ratio']} of the paginator (<= 1.3), with --json {json_ratio}"
    head = [f"{document['instances']} instances, wall s", "median", "best"]
    return f"{grid(head, rows)}\nhelp {document['help_ms']} ms (<= 150); {said}"


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=5, help="how often each is run (%(default)s)")


BENCH = Bench(
    "cli", "what the command line costs its user", {"help_ms": "<= 150", "list_10k_ratio": "<= 1.3"}, run, table, _options
)

if __name__ == "__main__":
    BENCH.main()
