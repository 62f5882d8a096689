"""kill -9 in the middle of a restore: the next one goes on with what is there."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from runctl_agent.contract.manifest import Manifest
from runctl_agent.runtime import ThreadRuntime
from runctl_agent.store import fetch
from runctl_agent.store.restore import Restorer
from runctl_agent.store.scratch import name_of
from tests.e2e.agent import Agent
from tests.e2e.gate import Gate, gate
from tests.e2e.seaweed import S3
from tests.e2e.tiny_training import body, save, saved
from tests.fakes.manifests import KEYS, committed, manifest_of
from tests.fakes.memory_store import MemoryStore
from tests.fakes.store_faults import CountsBytes

PART = 1000
FILES = {"a/large.bin": os.urandom(333 * PART + 7), **{f"{n}.bin": os.urandom(n * PART) for n in range(20)}}


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def manifest(store: MemoryStore) -> Manifest:
    return committed(store, manifest_of("checkpoint-1", 1, FILES, part=PART, encoding="zstd"))


def killed(store: MemoryStore, destination: Path, after: int) -> int:
    """Restore in a process that is killed once it has read more than `after` bytes; returns what it had read."""
    heard, said = os.pipe()
    child = os.fork()
    if not child:

        def reading(read: int) -> None:
            if read > after:
                os.write(said, str(read).encode())
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            Restorer(CountsBytes(store, reading), KEYS, ThreadRuntime()).restore(str(destination))
        finally:
            os._exit(1)
    os.close(said)
    _, status = os.waitpid(child, 0)
    with os.fdopen(heard) as answer:
        read = answer.read()
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    return int(read)


@pytest.mark.parametrize("tenths", range(0, 10, 3))
def test_no_more_is_fetched_twice_than_the_parts_in_flight(
    store: MemoryStore, manifest: Manifest, tmp_path: Path, tenths: int
) -> None:
    whole = sum(file.stored for file in manifest.files)
    largest = max(part.stored or 0 for file in manifest.files for part in file.parts)
    first = killed(store, tmp_path, whole * tenths // 10)
    assert os.listdir(tmp_path) == [name_of(manifest)], "nothing stands in its place before it is whole"

    counted = CountsBytes(store)
    done = Restorer(counted, KEYS, ThreadRuntime()).restore(str(tmp_path))
    assert first + counted.read <= whole + fetch.WIDTH * largest
    assert counted.asked == counted.read
    assert done.bytes <= manifest.size
    assert os.listdir(tmp_path) == ["checkpoint-1"]
    assert {path: (tmp_path / "checkpoint-1" / path).read_bytes() for path in FILES} == FILES


def test_killed_again_and_again_it_gets_there(store: MemoryStore, manifest: Manifest, tmp_path: Path) -> None:
    whole = sum(file.stored for file in manifest.files)
    for _ in range(3):
        killed(store, tmp_path, whole // 5)
    Restorer(store, KEYS, ThreadRuntime()).restore(str(tmp_path))
    assert {path: (tmp_path / "checkpoint-1" / path).read_bytes() for path in FILES} == FILES


def test_a_newer_checkpoint_takes_nothing_of_an_older_one_and_leaves_nothing(
    store: MemoryStore, manifest: Manifest, tmp_path: Path
) -> None:
    killed(store, tmp_path, manifest.size // 2)
    committed(store, manifest_of("checkpoint-2", 2, {"a/large.bin": b"new"}, seq=2))
    assert Restorer(store, KEYS, ThreadRuntime()).restore(str(tmp_path)).manifest.step == 2
    assert os.listdir(tmp_path) == ["checkpoint-2"]


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_the_real_command_killed_and_given_again(tmp_path: Path, s3: S3, by: signal.Signals) -> None:
    size = 5 * 8 * 1024 * 1024
    watched, to = tmp_path / "checkpoints", tmp_path / "to"
    watched.mkdir()
    save(watched / "model_step_7.pt", 7, size)
    whole = (watched / "model_step_7.pt").stat().st_size
    with gate(s3) as before:
        agent = Agent(tmp_path, before.s3, checkpoints=watched, settle="300ms")
        agent.command("flush")
        parts = ranges(before)
        assert not parts
        before.hold(lambda request: request.method == "GET" and request.range is not None and request.range[0] >= 3 * 8 << 20)
        process = agent.spawn("restore", "--to", str(to))
        agent.wait_for(lambda status: before.held == 3 and on_disk(to) >= 3 * 8 << 20, process)
        process.send_signal(by)
        process.wait()
        before.cut()
        fetched = len(ranges(before))
        agent.command("restore", "--to", str(to))
        again = ranges(before)[fetched:]
    assert "Traceback" not in agent.log.read_text()
    assert min(begin for begin, _ in again) == 3 * 8 << 20
    assert sum(length for _, length in again) == whole - (3 * 8 << 20)
    assert os.listdir(to) == ["model_step_7.pt"]
    assert saved(to / "model_step_7.pt") == body(7, size)


def ranges(through: Gate) -> list[tuple[int, int]]:
    return [request.range for request in through.passed if request.method == "GET" and request.range is not None]


def on_disk(to: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in to.glob(".runctl-restore-*/tree/*"))
