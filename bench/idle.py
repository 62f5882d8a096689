"""What the agent costs while nothing happens, on an instance, beside a training that lives: memory, CPU, and its next start."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from bench import known
from bench.instance import instance
from bench.process import cpu_seconds, forget_peak, peak_rss_mib, rss_mib
from bench.report import Bench, Document, grid
from tests.e2e.agent import Agent
from tests.e2e.seaweed import S3, SeaweedFS

PATIENCE = 300.0
CALM = 10.0
"""Seconds until the agent is taken for idle: the start is over, an upload's memory is given back."""

MANY, MORE = 10_000, 100_000
EACH = 100
"""Files of a checkpoint, where it is a directory."""

MIB = 1 << 20


def run(options: argparse.Namespace) -> Document:
    seconds, calm, size = (1.0, 0.2, 20 * MIB) if options.quick else (options.seconds, CALM, options.size * MIB)
    many, more, starts = (200, 200, 1) if options.quick else (MANY, MORE, options.starts)
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        with SeaweedFS(base / "s3") as server, instance(base) as machine:
            place = S3(server.endpoint, "bench")
            found = _idle(base / "idle", place, machine.env, many, seconds, calm, size)
            restarts = {
                "directories": _restart(base / "directories", place, machine.env, more, EACH, starts),
                "single files": _restart(base / "singles", place, machine.env, more, 1, starts),
            }
    return {**found, "restart_100k_s": restarts["directories"]["median_s"], "restarts": restarts, "seconds": seconds}


def _idle(base: Path, place: S3, env: dict[str, str], files: int, seconds: float, calm: float, size: int) -> Document:
    agent, watched = _agent(base, place, env, files, EACH)
    with agent.running() as process, _training(agent):
        agent.wait_for(lambda status: status["phase"] == "training", process)
        time.sleep(calm)
        idle_rss = rss_mib(process.pid)
        before, began = cpu_seconds(process.pid), time.monotonic()
        time.sleep(seconds)
        used, took = cpu_seconds(process.pid) - before, time.monotonic() - began
        forget_peak(process.pid)
        commits = agent.status().get("commits", 0)
        _write(watched / "checkpoint.bin", size)
        agent.wait_for(
            lambda status: status.get("commits", 0) > commits and not status.get("pending_checkpoints"), process, PATIENCE
        )
        time.sleep(calm)
        return {
            "idle_rss_mib": round(idle_rss, 1),
            "idle_cpu_percent": round(100 * used / took, 3),
            "after_upload_rss_mib": round(rss_mib(process.pid), 1),
            "peak_upload_rss_mib": round(peak_rss_mib(process.pid), 1),
            "files": files,
            "uploaded_mib": size // MIB,
        }


def _restart(base: Path, place: S3, env: dict[str, str], files: int, each: int, starts: int) -> dict[str, Any]:
    """From the command to READY=1: everything was looked at, and is watched."""
    address = base / "notify"
    agent, _ = _agent(base, place, {**env, "NOTIFY_SOCKET": str(address)}, files, each)
    taken, rss = [], 0.0
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(PATIENCE)
        for _ in range(starts):
            began = time.monotonic()
            process = agent.start()
            try:
                while systemd.recv(4096) != b"READY=1":
                    pass
                taken.append(time.monotonic() - began)
                rss = max(rss, rss_mib(process.pid))
            finally:
                process.terminate()
                process.wait()
    shutil.rmtree(base)
    return {
        "files": files,
        "median_s": round(statistics.median(taken), 2),
        "worst_s": round(max(taken), 2),
        "rss_mib": round(rss, 1),
    }


def _agent(base: Path, place: S3, env: dict[str, str], files: int, each: int) -> tuple[Agent, Path]:
    base.mkdir()
    watched = base / "checkpoints"
    known.fill(watched, files, each)
    agent = Agent(base, place, checkpoints=watched, run=base.name, env=env, staging={"keep_free": 0})
    known.journal(agent, watched)
    return agent, watched


@contextmanager
def _training(agent: Agent) -> Iterator[None]:
    command = agent.argv("exec", "--", sys.executable, "-S", "-c", "import sys; sys.stdin.read()")
    with subprocess.Popen(command, env=agent.env, stdin=subprocess.PIPE) as training:
        yield
        assert training.stdin is not None
        training.stdin.close()


def _write(path: Path, size: int) -> None:
    block = random.randbytes(MIB)
    with path.open("wb") as file:
        for number in range(size // MIB):
            file.write(number.to_bytes(8, "big") + block[8:])
    os.sync()


def table(document: Document) -> str:
    idle = [
        ("memory, idle (MiB)", document["idle_rss_mib"], "60"),
        (f"memory, peak of an upload of {document['uploaded_mib']} MiB", document["peak_upload_rss_mib"], "100"),
        ("memory, after it", document["after_upload_rss_mib"], "60"),
        (f"CPU, {document['files']} files watched (% of one core)", document["idle_cpu_percent"], "0.2"),
    ]
    for name, row in document["restarts"].items():
        goal = "2" if name == "directories" else ""
        idle.append((f"restart, {row['files']} files known in {name} (s; {row['rss_mib']} MiB)", row["median_s"], goal))
    return grid(("idle", "measured", "goal"), idle)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=120.0, help="of idleness (default: %(default)s)")
    parser.add_argument("--size", type=int, default=2048, help="MiB uploaded in between (default: %(default)s)")
    parser.add_argument("--starts", type=int, default=5, help="with 100,000 files known (default: %(default)s)")


BENCH = Bench(
    "idle",
    "What the agent costs while nothing happens: memory, CPU, and its next start.",
    {"idle_rss_mib": "<= 60", "after_upload_rss_mib": "<= 60", "idle_cpu_percent": "<= 0.2", "restart_100k_s": "<= 2"},
    run,
    table,
    add_options,
)

if __name__ == "__main__":
    BENCH.main()
