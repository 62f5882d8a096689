"""The store does not answer while a restore runs: never a reason to restore something older."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runctl_agent.contract.manifest import encode_manifest
from runctl_agent.errors import StoreUnavailable
from runctl_agent.runtime import ThreadRuntime
from runctl_agent.store import fetch, retry
from runctl_agent.store.restore import Restorer
from runctl_agent.store.scratch import name_of
from tests.fakes.manifests import KEYS, OwnNonces, committed, manifest_of, put_data
from tests.fakes.memory_store import MemoryStore
from tests.fakes.store_faults import CountsBytes


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    for seq in (1, 2):
        manifest = manifest_of(f"checkpoint-{seq}", seq, seq=seq)
        put_data(store, manifest)
        store.put(KEYS.manifest(1, seq, manifest.checkpoint), encode_manifest(manifest))
    return store


@pytest.mark.parametrize("method", ["list", "get", "head", "open_range"])
def test_a_store_that_stays_down_is_an_error_and_leaves_nothing(store: MemoryStore, tmp_path: Path, method: str) -> None:
    store.fail_next(method, times=99)
    with pytest.raises(StoreUnavailable):
        Restorer(store, KEYS, OwnNonces()).restore(str(tmp_path))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("method", ["list", "get", "head", "open_range"])
def test_a_store_that_comes_back_is_waited_for(store: MemoryStore, tmp_path: Path, method: str) -> None:
    runtime = OwnNonces(rolls=1.0)
    store.fail_next(method, times=3)
    done = Restorer(store, KEYS, runtime).restore(str(tmp_path))
    assert (done.manifest.step, done.passed_by) == (2, ())
    assert runtime.slept == pytest.approx([0.2, 0.4, 0.8])


@pytest.mark.parametrize("runtime", [OwnNonces, ThreadRuntime])
def test_what_had_arrived_before_it_went_down_is_kept_for_the_next_restore(
    tmp_path: Path, runtime: type[OwnNonces] | type[ThreadRuntime], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "CAP", 0.001)
    content, part = os.urandom(100_000), 1000
    store = MemoryStore()
    committed(store, manifest_of("checkpoint-1", 1, seq=1))
    newest = committed(store, manifest_of("checkpoint-2", 2, {"a.bin": content}, seq=2, part=part))

    def die(read: int) -> None:
        if read >= len(content) // 2:
            raise StoreUnavailable("GetObject", "the connection was reset")

    first = CountsBytes(store, die)
    with pytest.raises(StoreUnavailable):
        Restorer(first, KEYS, runtime()).restore(str(tmp_path))
    assert os.listdir(tmp_path) == [name_of(newest)]

    second = CountsBytes(store)
    done = Restorer(second, KEYS, runtime()).restore(str(tmp_path))
    assert (done.manifest, done.passed_by) == (newest, ())
    assert done.bytes == second.read <= len(content) // 2 + fetch.WIDTH * part
    assert (tmp_path / "checkpoint-2" / "a.bin").read_bytes() == content
    assert os.listdir(tmp_path) == ["checkpoint-2"]
