"""The store does not answer while a restore runs: never a reason to restore something older."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runctl_agent.contract.manifest import encode_manifest
from runctl_agent.errors import StoreUnavailable
from runctl_agent.store.restore import Restorer
from tests.fakes.manifests import KEYS, OwnNonces, manifest_of, put_data
from tests.fakes.memory_store import MemoryStore


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
