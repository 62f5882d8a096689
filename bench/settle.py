"""From the finished file to the first byte of its upload, by format: the real agent, a real S3, a gate that reads the clock.

Goal, for what proves itself whole: p50 ≤ 50 ms, p99 ≤ 250 ms (DESIGN.md section 10). What can't is given the settle time.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import pickle
import queue
import random
import statistics
import struct
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.agent import Agent
from tests.e2e.gate import Gate, Request, gate
from tests.e2e.seaweed import S3, SeaweedFS

PATIENCE = 30.0
SETTLE = 2.0
IDLE = (0.05, 0.25)
"""Seconds between two checkpoints: at random, so that no timer of the agent is met always at the same point."""

Write = Callable[[Path, int, bytes], str]
"""Writes checkpoint number n into a directory as its trainer does; returns its name. The last close, or rename, ends it."""


def archive(stem: str, body: bytes) -> bytes:
    """As torch.save lays it out: stored, not compressed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as written:
        written.writestr(f"{stem}/data.pkl", pickle.dumps({"step": 1}))
        written.writestr(f"{stem}/data/0", body)
    return buffer.getvalue()


def safetensors(body: bytes) -> bytes:
    header = json.dumps({"weight": {"dtype": "U8", "shape": [len(body)], "data_offsets": [0, len(body)]}}).encode()
    return struct.pack("<Q", len(header)) + header + body


def npz(body: bytes) -> bytes:
    head = str({"descr": "|u1", "fortran_order": False, "shape": (len(body),)}).encode() + b"\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as written:
        written.writestr("weight.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + body)
    return buffer.getvalue()


def hdf5(body: bytes) -> bytes:
    """A superblock of version 0 and what it says is the end of the file."""
    head = b"\x89HDF\r\n\x1a\n" + bytes([0, 0, 0, 0, 0, 8, 8, 0]) + bytes(8)
    undefined = b"\xff" * 8
    return head + bytes(8) + undefined + struct.pack("<Q", len(head) + 32 + len(body)) + undefined + body


def write_torch(directory: Path, number: int, body: bytes) -> str:
    return plain(directory, f"model_step_{number}.pt", archive(f"model_step_{number}", body))


def write_safetensors(directory: Path, number: int, body: bytes) -> str:
    """The rename comes before the close (safetensors 0.8)."""
    name = f"step_{number}.safetensors"
    with (directory / f".tmp{number}").open("wb") as file:
        file.write(safetensors(body))
        os.rename(file.name, directory / name)
    return name


def write_npz(directory: Path, number: int, body: bytes) -> str:
    return plain(directory, f"step_{number}.npz", npz(body))


def write_pickle(directory: Path, number: int, body: bytes) -> str:
    return plain(directory, f"step_{number}.pkl", pickle.dumps({"step": number, "weights": body}))


def write_json(directory: Path, number: int, body: bytes) -> str:
    return plain(directory, f"step_{number}.json", json.dumps({"step": number, "weights": body.hex()}).encode())


def write_hdf5(directory: Path, number: int, body: bytes) -> str:
    return plain(directory, f"step_{number}.h5", hdf5(body))


def write_huggingface(directory: Path, number: int, body: bytes) -> str:
    """transformers' Trainer: straight into the directory, trainer_state.json last."""
    name = f"checkpoint-{number}"
    (directory / name).mkdir()
    plain(directory / name, "config.json", b"{}")
    plain(directory / name, "model.safetensors", safetensors(body))
    plain(directory / name, "optimizer.pt", archive("optimizer", body))
    plain(directory / name, "trainer_state.json", json.dumps({"global_step": number}).encode())
    return name


def write_unknown(directory: Path, number: int, body: bytes) -> str:
    return plain(directory, f"step_{number}.bin", b"no known head" + body)


def plain(directory: Path, name: str, body: bytes) -> str:
    (directory / name).write_bytes(body)
    return name


@dataclass(frozen=True)
class Format:
    name: str
    write: Write
    proves_itself: bool = True


FORMATS = [
    Format("safetensors", write_safetensors),
    Format("torch zip", write_torch),
    Format("npz", write_npz),
    Format("pickle", write_pickle),
    Format("json", write_json),
    Format("h5", write_hdf5),
    Format("HF directory", write_huggingface),
    Format("unknown", write_unknown, proves_itself=False),
]


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


def percentile(taken: list[float], of_hundred: int) -> float:
    return statistics.quantiles(taken, n=100, method="inclusive")[of_hundred - 1]


def summary(kind: Format, taken: list[float]) -> dict[str, Any]:
    return {
        "n": len(taken),
        "p50_ms": round(percentile(taken, 50), 1),
        "p99_ms": round(percentile(taken, 99), 1),
        "max_ms": round(max(taken), 1),
        "proves_itself": kind.proves_itself,
    }


def run(count: int, size: int, only: str) -> dict[str, Any]:
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        with SeaweedFS(base / "s3") as server, gate(S3(server.endpoint, "bench")) as front:
            uploads = Uploads(front)
            watched = base / "checkpoints"
            watched.mkdir()
            agent = Agent(base, front.s3, checkpoints=watched, settle=f"{SETTLE}s", staging={"keep_free": 0})
            with agent.running():
                measure(FORMATS[0], 1, size, watched, uploads)  # the first epoch is taken, the connections are made
                for kind in FORMATS:
                    if only and only not in kind.name:
                        continue
                    samples = count if kind.proves_itself else max(5, count // 10)
                    found[kind.name] = summary(kind, measure(kind, samples, size, watched, uploads))
    return {"what": "finished file to the first byte of its upload", "bytes": size, "settle_s": SETTLE, "formats": found}


def table(document: dict[str, Any]) -> str:
    lines = [f"{'format':<14}{'n':>5}{'p50 ms':>10}{'p99 ms':>10}{'max ms':>10}"]
    for name, row in document["formats"].items():
        lines.append(f"{name:<14}{row['n']:>5}{row['p50_ms']:>10}{row['p99_ms']:>10}{row['max_ms']:>10}")
    lines.append(f"goal for what proves itself: p50 50, p99 250; unknown waits for settle, {1000 * document['settle_s']:.0f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout, nothing else")
    parser.add_argument("--count", type=int, default=100, help="checkpoints of each format (default: %(default)s)")
    parser.add_argument("--size", type=int, default=1_000_000, help="bytes of each (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="FORMAT")
    options = parser.parse_args()
    if options.count < 2:
        parser.error("--count must be 2 or more")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    document = run(options.count, options.size, options.only)
    sys.stdout.write((json.dumps(document) if options.json else table(document)) + "\n")


if __name__ == "__main__":
    main()
