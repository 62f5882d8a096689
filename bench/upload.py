"""What sending a checkpoint costs, ours with everything on against the clients that people use: CPU, speed, memory.

All send the same files over TLS to the same sink, by turns in every round; medians. Goals (DESIGN.md section 10): CPU at
most the best peer's, speed at least the best peer's, at most 100 MiB. "The best" is the best of the clients as they come; one
that is told to leave its checksum out has a line and ratios of its own (`cpu_ratio_to_tuned`).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.measure import Cost, bare_env, cost_of, python, warm
from bench.sink import Sink
from bench.upload_peers import TUNED, Peer, peers

GIB = 1024**3
MIB = 1024**2
PIECE = 16 * MIB
OURS = "runctl"


@dataclass(frozen=True)
class Load:
    name: str
    files: int
    size: int

    @property
    def gib(self) -> float:
        return self.files * self.size / GIB


@dataclass
class Taken:
    """Of one client with one load, a value for each round."""

    costs: list[Cost] = field(default_factory=list)
    sink_cpu_s: list[float] = field(default_factory=list)

    def median(self, of: Callable[[Cost], float]) -> float:
        return statistics.median(map(of, self.costs))

    def summary(self, load: Load) -> dict[str, Any]:
        megabytes = load.gib * GIB / 1e6
        return {
            "cpu_s_per_gib": round(self.median(lambda cost: cost.cpu_s) / load.gib, 3),
            "user_s_per_gib": round(self.median(lambda cost: cost.user_s) / load.gib, 3),
            "system_s_per_gib": round(self.median(lambda cost: cost.system_s) / load.gib, 3),
            "mb_per_s": round(self.median(lambda cost: megabytes / cost.wall_s)),
            "best_mb_per_s": round(max(megabytes / cost.wall_s for cost in self.costs)),
            "peak_rss_mib": round(max(cost.rss_mib for cost in self.costs)),
            "sink_cpu_s_per_gib": round(statistics.median(self.sink_cpu_s) / load.gib, 3),
        }


def ours(state: Path) -> Peer:
    return Peer(
        OURS,
        version("runctl"),
        lambda folder, prefix: [python(), "-m", "bench.upload_ours", folder, prefix, state / "state"],
        {},
    )


def make(folder: Path, load: Load) -> list[Path]:
    """Random, so that nothing gains by compressing."""
    folder.mkdir()
    files = []
    for number in range(load.files):
        path = folder / f"part-{number:03}.bin"
        with path.open("wb") as file:
            for begin in range(0, load.size, PIECE):
                file.write(os.urandom(min(PIECE, load.size - begin)))
        files.append(path)
    return files


def run(loads: list[Load], rounds: int, only: list[str], where: str | None, say: Callable[[str], None]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="runctl-bench-", dir=where) as name, Sink(Path(name) / "sink") as sink:
        base = Path(name)
        others, absent = peers(sink.endpoint, sink.certificate)
        clients = [ours(base), *others]
        if only:
            clients = [client for client in clients if any(word in client.name for word in only)]
        found = {load.name: _load(load, rounds, clients, sink, base, say) for load in loads}
    return {
        "what": "upload over TLS to a sink on loopback",
        "machine": {"cpus": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()},
        "rounds": rounds,
        "versions": {client.name: client.version for client in clients},
        "absent": absent,
        "loads": found,
        **verdict(list(found.values())),
    }


def _load(load: Load, rounds: int, clients: list[Peer], sink: Sink, base: Path, say: Callable[[str], None]) -> dict[str, Any]:
    say(f"{load.name}: writing the files")
    folder = base / "checkpoints" / load.name.replace(" ", "-")
    folder.parent.mkdir(exist_ok=True)
    files = make(folder, load)
    taken = {client.name: Taken() for client in clients}
    for number in range(rounds):
        for place in range(len(clients)):
            client = clients[(place + number) % len(clients)]  # nobody always comes after the same one
            warm(files)
            before = sink.cpu()
            cost = cost_of(client.command(folder, "sent"), bare_env({**sink.env, **client.env}))
            taken[client.name].costs.append(cost)
            taken[client.name].sink_cpu_s.append(sink.cpu() - before)
            sent = sum(known.size for known in sink.state.below("sent/") if known.size > PIECE)
            if sent < load.files * load.size:
                raise RuntimeError(f"{client.name} sent {sent} bytes of {load.files * load.size}")
            sink.forget()
            shutil.rmtree(base / "state", ignore_errors=True)
            say(f"{load.name}, round {number + 1}: {client.name} {cost.cpu_s / load.gib:.2f} CPU s/GiB, {cost.wall_s:.2f} s")
    shutil.rmtree(folder)
    clients_found = {name: each.summary(load) for name, each in taken.items()}
    return {"files": load.files, "bytes": load.size, "clients": clients_found, **ratios(clients_found)}


def ratios(clients: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """To the best peer in each respect, which need not be one and the same."""
    own = clients.get(OURS)
    if own is None:
        return {}
    found: dict[str, Any] = {}
    for whom, names in (("best", clients.keys() - {OURS, TUNED}), ("tuned", clients.keys() & {TUNED})):
        others = [clients[name] for name in names]
        if others:
            cpu, speed = min(other["cpu_s_per_gib"] for other in others), max(other["mb_per_s"] for other in others)
            found[f"cpu_ratio_to_{whom}"] = round(own["cpu_s_per_gib"] / cpu, 3)
            found[f"speed_ratio_to_{whom}"] = round(own["mb_per_s"] / speed, 3)
    return found | {"peak_rss_mib": own["peak_rss_mib"]} if found else {}


def verdict(loads: list[dict[str, Any]]) -> dict[str, Any]:
    """The worst of the loads."""
    rated = [load for load in loads if "cpu_ratio_to_best" in load]
    if not rated:
        return {}
    worst = {"cpu_ratio_to_best": max, "speed_ratio_to_best": min, "cpu_ratio_to_tuned": max, "speed_ratio_to_tuned": min}
    return {
        **{name: choose(load[name] for load in rated) for name, choose in worst.items() if all(name in load for load in rated)},
        "peak_rss_mib": max(load["peak_rss_mib"] for load in rated),
        "goals": {"cpu_ratio_to_best": "<= 1.0", "speed_ratio_to_best": ">= 1.0", "peak_rss_mib": "<= 100"},
    }


def table(document: dict[str, Any]) -> str:
    lines = []
    for name, load in document["loads"].items():
        heads = f"{'CPU s/GiB':>11}{'user':>7}{'sys':>7}{'MB/s':>8}{'best':>7}{'MiB':>6}{'sink s/GiB':>12}"
        lines.append(f"{name + ', TLS':<24}{heads}")
        for client, row in sorted(load["clients"].items(), key=lambda pair: pair[1]["cpu_s_per_gib"]):
            lines.append(
                f"  {client:<22}{row['cpu_s_per_gib']:>11}{row['user_s_per_gib']:>7}{row['system_s_per_gib']:>7}"
                f"{row['mb_per_s']:>8}{row['best_mb_per_s']:>7}{row['peak_rss_mib']:>6}{row['sink_cpu_s_per_gib']:>12}"
            )
        for whom, said in (("best", "the best client as it comes"), ("tuned", TUNED)):
            if f"cpu_ratio_to_{whom}" in load:
                lines.append(f"  to {said}: CPU {load[f'cpu_ratio_to_{whom}']}, speed {load[f'speed_ratio_to_{whom}']}")
    lines.append("versions: " + ", ".join(f"{name} {known}" for name, known in document["versions"].items()))
    if document["absent"]:
        lines.append("not on this machine: " + ", ".join(document["absent"]))
    if "cpu_ratio_to_best" in document:
        lines.append(
            f"goals: CPU {document['cpu_ratio_to_best']} (<= 1.0), speed {document['speed_ratio_to_best']} (>= 1.0),"
            f" memory {document['peak_rss_mib']} MiB (<= 100); the worse of the loads"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout, nothing else")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each client with each load (default: %(default)s)")
    parser.add_argument("--large", type=int, default=2048, metavar="MIB", help="the one large file (default: %(default)s)")
    parser.add_argument("--many", type=int, default=64, help="files of 32 MiB (default: %(default)s)")
    parser.add_argument("--only", action="append", default=[], metavar="CLIENT", help="may be given several times")
    parser.add_argument("--dir", help="where the files are made (default: the temporary directory)")
    options = parser.parse_args()
    loads = [Load(f"1 x {options.large} MiB", 1, options.large * MIB), Load(f"{options.many} x 32 MiB", options.many, 32 * MIB)]

    def say(line: str) -> None:
        if not options.json:
            sys.stderr.write(line + "\n")

    document = run([load for load in loads if load.files and load.size], options.rounds, options.only, options.dir, say)
    sys.stdout.write((json.dumps(document) if options.json else table(document)) + "\n")


if __name__ == "__main__":
    main()
