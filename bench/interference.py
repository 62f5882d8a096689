"""What the agent takes from a training on two CPU threads: its step time with the agent absent, idle and uploading, by turns.

It uploads over TLS to a sink on the same cores, which on a real machine is elsewhere: the sink runs at the lowest priority,
and what it used is shown. Slowdown: the time of a step, against the steps of the same round without an agent.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench.process import cpu_seconds
from bench.report import Bench, Document, grid
from bench.sink import Sink
from bench.sink_state import BUCKET
from bench.training_loop import between, training
from tests.e2e.agent import Agent
from tests.e2e.seaweed import S3

MIB = 1 << 20
LIMIT = 50_000_000
FILE = 128
"""MiB of one checkpoint."""

CALM = 3.0
"""Seconds from the agent's start, or from the first bytes of an upload, to the first step that counts."""

LOWEST = 19
PATIENCE = 120.0


@dataclass(frozen=True)
class Variant:
    """`leaves`: which of its manners the agent leaves, see `pushy`."""

    name: str
    agent: bool = True
    uploads: bool = True
    leaves: str = ""
    bandwidth: int = 0


ABSENT = Variant("absent", agent=False, uploads=False)
IDLE = Variant("idle", uploads=False)
UPLOADING = Variant("uploading")
VARIANTS = (
    ABSENT,
    IDLE,
    UPLOADING,
    Variant("uploading at 50 MB/s", bandwidth=LIMIT),
    Variant("uploading, not nice", leaves="nice"),
    Variant("uploading, no I/O class", leaves="io"),
    Variant("uploading, neither", leaves="all"),
)


@dataclass
class Window:
    """One variant in one round. CPU in seconds of one core per second."""

    step_s: float
    steps: int
    agent_cpu: float = 0.0
    sink_cpu: float = 0.0
    mb_per_s: float = 0.0


@dataclass
class Stage:
    """What all windows share."""

    base: Path
    sink: Sink
    server: psutil.Process
    steps: Path
    source: list[Path]
    seconds: float
    calm: float
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def window(self, variant: Variant) -> Window:
        if not variant.agent:
            return self._taken(None, None)
        folder = self.base / f"run-{next(self.numbers)}"
        folder.mkdir()
        watched = folder / "checkpoints"
        watched.mkdir()
        place = S3(self.sink.endpoint, folder.name, bucket=BUCKET)
        options: dict[str, Any] = {"dedup": False, "settle": "100ms", "staging": {"keep_free": 0}, "bandwidth": variant.bandwidth}
        agent = _Agent(folder, place, checkpoints=watched, run=folder.name, env=self.sink.env, **options)
        agent.leaves = variant.leaves
        with agent.running() as process:
            if variant.uploads:
                self._give(watched)
                agent.wait_for(lambda status: status.get("pending_checkpoints", 0) > 0, process, PATIENCE)
            time.sleep(self.calm)
            window = self._taken(agent, process)
            if variant.uploads and not agent.status().get("pending_checkpoints"):
                raise RuntimeError(f"{variant.name}: everything was sent before the window ended; give it more with --files")
            process.kill()  # what is still to be sent is not waited for
            process.wait()
        return window

    def _give(self, watched: Path) -> None:
        for path in self.source:
            os.link(path, watched / path.name)

    def _taken(self, agent: _Agent | None, process: subprocess.Popen[bytes] | None) -> Window:
        def costs() -> tuple[float, float, int]:
            own = cpu_seconds(process.pid) if process is not None else 0.0
            return own, _tree_cpu(self.server), agent.sent() if agent is not None else 0

        before, began = costs(), time.monotonic()
        time.sleep(self.seconds)
        while not between(self.steps, began, time.monotonic()):
            time.sleep(self.seconds)  # no step fits into so short a window
        ended, after = time.monotonic(), costs()
        steps = between(self.steps, began, ended)
        own, sink, sent = (after[n] - before[n] for n in range(3))
        took = ended - began
        return Window(statistics.mean(steps), len(steps), own / took, sink / took, sent / took / 1e6)


class _Agent(Agent):
    leaves = ""

    def argv(self, command: str, *arguments: str) -> list[str]:
        if command != "run" or not self.leaves:
            return super().argv(command, *arguments)
        return [
            sys.executable,
            "-m",
            "bench.pushy",
            self.leaves,
            "--config",
            str(self.config),
            "--state-dir",
            str(self.state_dir),
        ]

    def start(self) -> subprocess.Popen[bytes]:
        self.env["PYTHONPATH"] = os.getcwd()
        return super().start()

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """As it is, but that it may be killed."""
        process = self.start()
        try:
            self.wait_for(lambda status: status["phase"] != "starting", process)
            yield process
        finally:
            process.kill()
            process.wait()

    def sent(self) -> int:
        """Bytes of checkpoints so far, by the agent's journal."""
        (path,) = self.state_dir.glob("runs/*/journal.db")
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as journal:
            return int(journal.execute("SELECT sent_bytes FROM totals").fetchone()[0])


def run(options: argparse.Namespace) -> Document:
    rounds, seconds, calm = (1, 1.0, 0.2) if options.quick else (options.rounds, options.seconds, CALM)
    files = 6 if options.quick else options.files
    found: dict[str, list[Window]] = {variant.name: [] for variant in VARIANTS}
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        base = Path(folder)
        source = _source(base / "source", files)
        with Sink(base / "sink") as sink, training(base / "steps"):
            stage = Stage(base, sink, _lowered(), base / "steps", source, seconds, calm)
            for number in range(rounds):
                for place in range(len(VARIANTS)):
                    variant = VARIANTS[(place + number) % len(VARIANTS)]  # none always comes after the same one
                    found[variant.name].append(stage.window(variant))
            psutil.wait_procs(stage.server.children(), PATIENCE)  # they still write down what the last agent sent
    rows = {name: _row(windows, found[ABSENT.name]) for name, windows in found.items()}
    return {
        "rounds": rounds,
        "seconds": seconds,
        "slowdown_idle_percent": rows[IDLE.name]["slowdown_percent"],
        "slowdown_uploading_percent": rows[UPLOADING.name]["slowdown_percent"],
        "variants": rows,
    }


def _row(windows: list[Window], absent: list[Window]) -> dict[str, Any]:
    slower = [100 * (window.step_s / base.step_s - 1) for window, base in zip(windows, absent, strict=True)]
    return {
        "step_ms": round(1000 * statistics.median(window.step_s for window in windows), 2),
        "slowdown_percent": round(statistics.median(slower), 2),
        "least_percent": round(min(slower), 2),
        "most_percent": round(max(slower), 2),
        "agent_cpu": round(statistics.median(window.agent_cpu for window in windows), 3),
        "sink_cpu": round(statistics.median(window.sink_cpu for window in windows), 3),
        "mb_per_s": round(statistics.median(window.mb_per_s for window in windows), 1),
    }


def _source(folder: Path, files: int) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"step_{number}.bin" for number in range(files)]
    for path in paths:
        with path.open("wb") as file:
            for _ in range(FILE):
                file.write(os.urandom(MIB))
    return paths


def _lowered() -> psutil.Process:
    """The sink's process, behind all others: on a real machine it is elsewhere."""
    (server,) = (child for child in psutil.Process().children() if "bench.sink" in child.cmdline())
    server.nice(LOWEST)
    return server


def _tree_cpu(server: psutil.Process) -> float:
    """Of the server and of those of its connections that still live."""
    own = sum(server.cpu_times()[:4])
    return float(own + sum(sum(child.cpu_times()[:2]) for child in server.children()))


def table(document: Document) -> str:
    heads = ("agent", "step ms", "slower %", "least", "most", "agent CPU", "sink CPU", "MB/s")
    names = ("step_ms", "slowdown_percent", "least_percent", "most_percent", "agent_cpu", "sink_cpu", "mb_per_s")
    rows = [(name, *(row[key] for key in names)) for name, row in document["variants"].items()]
    slower = f"uploading: {document['slowdown_uploading_percent']} % slower (goal 2)"
    return f"{grid(heads, rows)}\n{slower}; medians of {document['rounds']} rounds; CPU in cores"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=5, help="of all variants (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of one window (default: %(default)s)")
    parser.add_argument("--files", type=int, default=64, help=f"checkpoints of {FILE} MiB to send (default: %(default)s)")
    parser.add_argument("--dir", help="where the files are made (default: the temporary directory)")


BENCH = Bench(
    "interference",
    "The step time of a training on two CPU threads with the agent absent, idle and uploading.",
    {"slowdown_uploading_percent": "<= 2"},
    run,
    table,
    add_options,
)

if __name__ == "__main__":
    BENCH.main()
