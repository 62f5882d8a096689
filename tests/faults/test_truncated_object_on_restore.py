"""An object of the newest checkpoint has lost its end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runctl_agent.errors import StoreUnavailable
from runctl_agent.store.restore import Restorer
from tests.fakes.manifests import KEYS, OwnNonces, committed, manifest_of
from tests.fakes.memory_store import MemoryStore

FILES = {"a.bin": os.urandom(5000), "b.bin": os.urandom(10)}


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    for seq in (1, 2):
        committed(
            store, manifest_of(f"checkpoint-{seq}", seq, FILES, seq=seq, part=1000, encoding="zstd" if seq == 2 else "identity")
        )
    return store


def cut(store: MemoryStore) -> str:
    key = KEYS.data(1, 2, "checkpoint-2", "a.bin") + ".zst"
    store.put(key, store.objects[key].body[:-1])
    return KEYS.relative(key)


def test_the_one_before_is_restored_without_a_download_and_it_says_why(store: MemoryStore, tmp_path: Path) -> None:
    size = len(store.objects[KEYS.data(1, 2, "checkpoint-2", "a.bin") + ".zst"].body)
    key = cut(store)
    done = Restorer(store, KEYS, OwnNonces()).restore(str(tmp_path))
    assert done.manifest.step == 1
    assert done.passed_by == (("checkpoint-2", f"{key} has {size - 1} bytes, not {size}"),)
    assert store.count("open_range", "checkpoint-2") == 0
    assert os.listdir(tmp_path) == ["checkpoint-1"]


def test_while_it_is_fetched_it_is_an_error_and_the_next_restore_knows(store: MemoryStore, tmp_path: Path) -> None:
    def cut_first(method: str, key: str) -> None:
        if method == "open_range" and "checkpoint-2" in key:
            cut(store)

    store.on_call = cut_first
    with pytest.raises(StoreUnavailable):
        Restorer(store, KEYS, OwnNonces()).restore(str(tmp_path))
    store.on_call = lambda method, key: None
    assert Restorer(store, KEYS, OwnNonces()).restore(str(tmp_path)).manifest.step == 1
    assert os.listdir(tmp_path) == ["checkpoint-1"]
