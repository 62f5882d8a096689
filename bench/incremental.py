"""What is sent of a checkpoint of which 2 % changed: the real agent, SeaweedFS, and a relay that counts what crosses the wire."""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import torch_archive
from bench.report import Bench, Document, grid
from bench.wire import Wire, wire
from tests.e2e.agent import Agent
from tests.e2e.seaweed import S3, SeaweedFS

MIB = 1 << 20
CHANGED = 0.02
SPOT = MIB
"""Bytes of each of the scattered changes."""

PATIENCE = 1800.0
Row = dict[str, Any]


def run(options: argparse.Namespace) -> Document:
    size = (48 if options.quick else options.size) * MIB
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        base = Path(folder)
        watched = base / "checkpoints"
        watched.mkdir()
        with SeaweedFS(base / "s3") as server, wire(server.endpoint) as relay:
            agent = Agent(base, S3(relay.endpoint, "bench"), checkpoints=watched, staging={"keep_free": 0})
            agent.env["AWS_EC2_METADATA_DISABLED"] = "true"
            with agent.running() as process:
                rows = _measured(agent, process, relay, watched, size)
    return {
        "bytes": size,
        "changed": CHANGED,
        "sent_fraction": rows["in place, one region"]["sent_fraction"],
        "sent_fraction_scattered": rows["in place, scattered"]["sent_fraction"],
        "sent_fraction_torch": rows["torch.save, same name"]["sent_fraction"],
        "sent_fraction_torch_next": rows["torch.save, next name"]["sent_fraction"],
        "seconds": rows["in place, one region"]["seconds"],
        "seconds_full": rows["everything"]["seconds"],
        "rows": rows,
    }


def _measured(agent: Agent, process: subprocess.Popen[bytes], relay: Wire, watched: Path, size: int) -> dict[str, Row]:
    def sent(change: Callable[[], object]) -> Row:
        before, commits = relay.sent, agent.status().get("commits", 0)
        change()
        os.sync()  # the trainer's own writing is not measured
        began = time.monotonic()
        agent.wait_for(lambda status: status.get("commits", 0) > commits, process, PATIENCE)
        took = time.monotonic() - began
        crossed = relay.sent - before
        return {"seconds": round(took, 2), "sent_bytes": crossed, "sent_fraction": round(crossed / size, 4)}

    flat, archive, after = watched / "flat.bin", watched / "last.pt", watched / "next.pt"
    content = torch_archive.tensors(size)
    trained = torch_archive.trained(content, CHANGED)
    rows = {"everything": sent(lambda: _fill(flat, size))}
    rows["in place, one region"] = sent(lambda: _change(flat, [(size // 3, int(CHANGED * size))]))
    rows["in place, scattered"] = sent(lambda: _change(flat, _scattered(size)))
    flat.unlink()
    rows["torch.save, everything"] = sent(lambda: torch_archive.save(archive, content))
    rows["torch.save, same name"] = sent(lambda: torch_archive.save(archive, trained))
    rows["torch.save, next name"] = sent(lambda: torch_archive.save(after, content))
    return rows


def _fill(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for number in range(size // MIB):
            file.write(random.Random(number).randbytes(MIB))


def _change(path: Path, spots: list[tuple[int, int]]) -> None:
    """Overwrite (offset, length), as a trainer does that maps its checkpoint."""
    with path.open("r+b") as file:
        for offset, length in spots:
            file.seek(offset)
            for begin in range(0, length, MIB):
                file.write(os.urandom(min(MIB, length - begin)))


def _scattered(size: int) -> list[tuple[int, int]]:
    wanted = max(1, int(CHANGED * size) // SPOT)
    places = random.Random(2).sample(range(size // SPOT), wanted)
    return [(place * SPOT, SPOT) for place in sorted(places)]


def table(document: Document) -> str:
    rows = [(name, row["sent_bytes"], row["sent_fraction"], row["seconds"]) for name, row in document["rows"].items()]
    what = f"{document['bytes'] // MIB} MiB, {100 * document['changed']:.0f} % changed"
    return "\n".join(
        [
            grid((what, "bytes sent", "fraction", "s to the commit"), rows),
            f"in place, one region: {document['sent_fraction']} (goal 0.08); what can't prove itself is quiet for 2 s first",
        ]
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=int, default=2048, help="MiB (default: %(default)s)")
    parser.add_argument("--dir", help="where the files are made (default: the temporary directory)")


BENCH = Bench(
    "incremental",
    "What is sent of a checkpoint of which 2 % changed, and how long that takes against all of it.",
    {"sent_fraction": "<= 0.08"},
    run,
    table,
    add_options,
)

if __name__ == "__main__":
    BENCH.main()
