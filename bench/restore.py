"""What bringing a checkpoint back costs, ours with everything on against the clients that people use: CPU, speed, memory.

All bring the same files over TLS from the same endpoint, by turns in every round; medians. Ours are verified by hash,
synced to the disk and renamed into place, which no other does. Goals: CPU at most the best peer's, speed at least the
best peer's, at most 100 MiB.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.measure import bare_env, cost_of, python, warm
from bench.restore_ours import RUN
from bench.restore_peers import peers
from bench.sink import Sink
from bench.upload import MIB, OURS, Load, Taken, ratios, table, verdict
from bench.upload_peers import Peer
from runctl_agent.contract.keys import Keys
from runctl_agent.contract.manifest import Manifest, ManifestFile, Part, Rank, encode_manifest
from runctl_agent.records import Kind
from runctl_agent.store.check import Sum
from runctl_agent.store.crc import combine_all
from runctl_agent.store.piece import digest_of_parts
from runctl_agent.store.plan import parts

PREFIX = "bench"
KEYS = Keys(PREFIX, RUN)
CHECKPOINT = "checkpoint-1"
MEMORY = "/dev/shm"


def ours() -> Peer:
    return Peer(OURS, version("runctl"), lambda folder, prefix: [python(), "-m", "bench.restore_ours", folder, PREFIX], {})


def place(sink: Sink, folder: Path, load: Load) -> list[Path]:
    """A checkpoint of random files behind the endpoint, committed."""
    folder.mkdir()
    listed: list[ManifestFile] = []
    paths: list[Path] = []
    for number in range(load.files):
        path = folder / f"part-{number:03}.bin"
        key = KEYS.data(1, 1, CHECKPOINT, path.name)
        listed.append(_written(path, KEYS.relative(key), load.size))
        sink.place(key, path, listed[-1].crc)
        paths.append(path)
    manifest = Manifest(
        run=RUN,
        epoch=1,
        seq=1,
        checkpoint=CHECKPOINT,
        step=1,
        rank=Rank(True, 1, 1, 1),
        kind=Kind.DIRECTORY.value,
        complete=True,
        created=1_800_000_000.0,
        instance="bench",
        files=tuple(listed),
    )
    body = folder / "manifest.json"
    body.write_bytes(encode_manifest(manifest))
    sink.place(KEYS.manifest(1, 1, CHECKPOINT), body, _sum(body.read_bytes()).crc)
    return paths


def _written(path: Path, relative_key: str, size: int) -> ManifestFile:
    listed: list[Part] = []
    crcs: list[tuple[int, int]] = []
    with path.open("wb") as file:
        for span in parts(size):
            content = os.urandom(span.length)
            file.write(content)
            found = _sum(content)
            listed.append(Part(span.offset, span.length, found.digest))
            crcs.append((found.crc, span.length))
    digest = digest_of_parts(part.digest.partition(":")[2] for part in listed)
    return ManifestFile(path.name, size, 0, digest, combine_all(crcs), relative_key, parts=tuple(listed))


def _sum(content: bytes) -> Sum:
    found = Sum()
    found.update(content)
    return found


def run(
    loads: list[Load], rounds: int, only: list[str], where: str | None, to: str, say: Callable[[str], None]
) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory(prefix="runctl-bench-", dir=where) as name,
        tempfile.TemporaryDirectory(prefix="runctl-bench-", dir=to) as target,
        Sink(Path(name) / "sink") as sink,
    ):
        base = Path(name)
        others, absent = peers(sink.endpoint, sink.certificate)
        clients = [ours(), *others]
        if only:
            clients = [client for client in clients if any(word in client.name for word in only)]
        found = {load.name: _load(load, rounds, clients, sink, (base, Path(target) / "to"), say) for load in loads}
    return {
        "what": f"restore over TLS from an endpoint on loopback into {to}",
        "machine": {"cpus": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()},
        "rounds": rounds,
        "versions": {client.name: client.version for client in clients},
        "absent": absent,
        "loads": found,
        **verdict(list(found.values())),
    }


def _load(
    load: Load, rounds: int, clients: list[Peer], sink: Sink, places: tuple[Path, Path], say: Callable[[str], None]
) -> dict[str, Any]:
    base, to = places
    say(f"{load.name}: writing the files")
    sink.forget()
    source = base / load.name.replace(" ", "-")
    files = place(sink, source, load)
    prefix = KEYS.data(1, 1, CHECKPOINT, "").rstrip("/")
    taken = {client.name: Taken() for client in clients}
    for number in range(rounds):
        for turn in range(len(clients)):
            client = clients[(turn + number) % len(clients)]  # nobody always comes after the same one
            to.mkdir()
            warm(files)
            before = sink.cpu()
            cost = cost_of(client.command(to, prefix), bare_env({**sink.env, **client.env}))
            taken[client.name].costs.append(cost)
            taken[client.name].sink_cpu_s.append(sink.cpu() - before)
            _require_all(to / CHECKPOINT if client.name == OURS else to, files, client.name)
            shutil.rmtree(to)
            os.sync()  # what one left to be written must not be the next one's burden
            say(f"{load.name}, round {number + 1}: {client.name} {cost.cpu_s / load.gib:.2f} CPU s/GiB, {cost.wall_s:.2f} s")
    shutil.rmtree(source)
    clients_found = {name: each.summary(load) for name, each in taken.items()}
    return {"files": load.files, "bytes": load.size, "clients": clients_found, **ratios(clients_found)}


def _require_all(to: Path, files: list[Path], name: str) -> None:
    for path in files:
        if not filecmp.cmp(path, to / path.name, shallow=False):
            raise RuntimeError(f"{name} did not bring {path.name} as it is")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout, nothing else")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each client with each load (default: %(default)s)")
    parser.add_argument("--large", type=int, default=2048, metavar="MIB", help="the one large file (default: %(default)s)")
    parser.add_argument("--many", type=int, default=64, help="files of 32 MiB (default: %(default)s)")
    parser.add_argument("--only", action="append", default=[], metavar="CLIENT", help="may be given several times")
    parser.add_argument("--dir", help="where the files are made (default: the temporary directory)")
    parser.add_argument("--to", default=MEMORY, help="where they are brought (default: %(default)s, so that no disk is measured)")
    options = parser.parse_args()
    loads = [Load(f"1 x {options.large} MiB", 1, options.large * MIB), Load(f"{options.many} x 32 MiB", options.many, 32 * MIB)]

    def say(line: str) -> None:
        if not options.json:
            sys.stderr.write(line + "\n")

    document = run(
        [load for load in loads if load.files and load.size], options.rounds, options.only, options.dir, options.to, say
    )
    sys.stdout.write((json.dumps(document) if options.json else table(document)) + "\n")


if __name__ == "__main__":
    main()
