"""How long the agent takes to act, with a busy trainer beside it: the real agent, a real S3, moto, gates that read the clock.

From the finished file to the first byte of its upload, by format; and from a marker's rename or the training's exit to the
CreateTags call that bears the phase. What can't prove itself whole is given the settle time, and is not in the goals.
"""

from __future__ import annotations

import argparse
import itertools
import queue
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import phases
from bench.busy import busy
from bench.formats import FORMATS, Format
from bench.report import Bench, Document, grid, percentile
from tests.e2e.agent import Agent
from tests.e2e.gate import Gate, Request, gate
from tests.e2e.seaweed import S3, SeaweedFS

PATIENCE = 30.0
SETTLE = 2.0
IDLE = (0.05, 0.25)
"""Seconds between two checkpoints: at random, so that no timer of the agent is met always at the same point."""

Row = dict[str, Any]


class Uploads:
    """What arrives at the gate."""

    def __init__(self, front: Gate) -> None:
        self._arrived: queue.Queue[Request] = queue.Queue()
        front.hold(self._note)

    def _note(self, request: Request) -> bool:
        self._arrived.put(request)
        return False

    def first_of(self, name: str) -> float:
        """When the first upload of this checkpoint began, in monotonic seconds."""
        while True:
            request = self._arrived.get(timeout=PATIENCE)
            if request.is_data and f"/{name}" in request.path:
                return request.at

    def wait_for_commit(self, name: str) -> None:
        while True:
            request = self._arrived.get(timeout=PATIENCE)
            if request.method == "PUT" and "/manifests/" in request.path and request.path.endswith(f"-{name}.json"):
                return


_numbers = itertools.count(1)


def measure(kind: Format, count: int, size: int, directory: Path, uploads: Uploads) -> list[float]:
    """Milliseconds of each."""
    taken = []
    for number in itertools.islice(_numbers, count):
        body = random.randbytes(size)
        name = kind.write(directory, number, body)
        closed = time.monotonic()
        taken.append(1000 * (uploads.first_of(name) - closed))
        uploads.wait_for_commit(name)
        time.sleep(random.uniform(*IDLE))
    return taken


def summary(taken: list[float]) -> Row:
    return {
        "n": len(taken),
        "p50_ms": round(percentile(taken, 50), 1),
        "p99_ms": round(percentile(taken, 99), 1),
        "max_ms": round(max(taken), 1),
    }


def settling(count: int, size: int, base: Path) -> dict[str, list[float]]:
    """Milliseconds by format."""
    found: dict[str, list[float]] = {}
    watched = base / "checkpoints"
    watched.mkdir()
    with SeaweedFS(base / "s3") as server, gate(S3(server.endpoint, "bench")) as front:
        uploads = Uploads(front)
        agent = Agent(base, front.s3, checkpoints=watched, settle=f"{SETTLE}s", staging={"keep_free": 0})
        agent.env["AWS_EC2_METADATA_DISABLED"] = "true"
        with agent.running():
            measure(FORMATS[0], 1, size, watched, uploads)  # the first epoch is taken, the connections are made
            with busy():
                for kind in FORMATS:
                    samples = count if kind.proves_itself else max(2, count // 10)
                    found[kind.name] = measure(kind, samples, size, watched, uploads)
    return found


def run(options: argparse.Namespace) -> Document:
    count, lives = (2, 2) if options.quick else (options.count, options.lives)
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        (base / "settle").mkdir()
        (base / "phase").mkdir()
        taken = settling(count, options.size, base / "settle")
        posted = phases.measure(lives, base / "phase")
    proving = [ms for kind in FORMATS if kind.proves_itself for ms in taken[kind.name]]
    every = posted["marker"] + posted["exit"]
    return {
        "bytes": options.size,
        "settle_s": SETTLE,
        "settle_p50_ms": round(percentile(proving, 50), 1),
        "settle_p99_ms": round(percentile(proving, 99), 1),
        "phase_p50_ms": round(percentile(every, 50), 1),
        "phase_p99_ms": round(percentile(every, 99), 1),
        "formats": {kind.name: {**summary(taken[kind.name]), "proves_itself": kind.proves_itself} for kind in FORMATS},
        "phases": {name: summary(ms) for name, ms in posted.items()},
    }


def table(document: Document) -> str:
    def line(name: str, row: Row) -> tuple[object, ...]:
        return name, row["n"], row["p50_ms"], row["p99_ms"], row["max_ms"]

    rows = [line(name, row) for name, row in document["formats"].items()]
    rows += [line(f"{name} → CreateTags", row) for name, row in document["phases"].items()]
    proving = f"what proves itself: p50 {document['settle_p50_ms']} ms, p99 {document['settle_p99_ms']} ms (goal 50, 250)"
    return "\n".join(
        [
            grid(("from … to the upload's first byte", "n", "p50 ms", "p99 ms", "max ms"), rows),
            f"{proving}; the unknown waits for settle, {1000 * document['settle_s']:.0f} ms",
            f"phases: p50 {document['phase_p50_ms']} ms, p99 {document['phase_p99_ms']} ms (goal 300, 1000)",
        ]
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=60, help="checkpoints of each format (default: %(default)s)")
    parser.add_argument("--size", type=int, default=1_000_000, help="bytes of each (default: %(default)s)")
    parser.add_argument("--lives", type=int, default=30, help="lives of the agent, two phases each (default: %(default)s)")


BENCH = Bench(
    "latency",
    "From the finished file to the first byte of its upload, and from a training's end to its phase in the tags.",
    {"settle_p50_ms": "<= 50", "settle_p99_ms": "<= 250", "phase_p50_ms": "<= 300", "phase_p99_ms": "<= 1000"},
    run,
    table,
    add_options,
)

if __name__ == "__main__":
    BENCH.main()
