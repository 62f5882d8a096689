"""A manifest stands, but an object that it names is gone: deleted by hand, or by a lifecycle rule."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from runctl_agent.contract.manifest import encode_manifest
from runctl_agent.errors import NotFoundError
from runctl_agent.store.objects import Body
from runctl_agent.store.restore import Restorer
from tests.fakes.manifests import KEYS, OwnNonces, manifest_of, put_data
from tests.fakes.memory_store import MemoryStore
from tests.fakes.store_faults import Wrapped

FILES = {"a.bin": b"a" * 10, "b.bin": b"b" * 20}


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    for seq, step in enumerate((100, 200, 300), 1):
        manifest = manifest_of(f"checkpoint-{step}", step, FILES, seq=seq)
        put_data(store, manifest, FILES)
        store.put(KEYS.manifest(1, seq, manifest.checkpoint), encode_manifest(manifest))
    return store


def lose(store: MemoryStore, step: int, file: str = "b.bin") -> str:
    key = KEYS.data(1, step // 100, f"checkpoint-{step}", file)
    store.delete(key)
    return KEYS.relative(key)


def test_the_one_before_is_restored_and_it_says_why(store: MemoryStore, tmp_path: Path) -> None:
    gone = lose(store, 300)
    done = Restorer(store, KEYS, OwnNonces()).restore(str(tmp_path))
    assert done.manifest.step == 200
    assert done.passed_by == (("checkpoint-300", f"{gone} is missing"),)
    assert os.listdir(tmp_path) == ["checkpoint-200"]


def test_nothing_that_verifies_is_not_found_and_leaves_nothing(store: MemoryStore, tmp_path: Path) -> None:
    for step in (100, 200, 300):
        lose(store, step)
    with pytest.raises(NotFoundError) as caught:
        Restorer(store, KEYS, OwnNonces()).restore(str(tmp_path))
    assert all(f"'checkpoint-{step}'" in caught.value.why for step in (100, 200, 300))
    assert os.listdir(tmp_path) == []


def test_a_named_checkpoint_is_not_replaced_by_another(store: MemoryStore, tmp_path: Path) -> None:
    lose(store, 300)
    with pytest.raises(NotFoundError, match="is missing"):
        Restorer(store, KEYS, OwnNonces()).restore(str(tmp_path), "checkpoint-300")
    assert os.listdir(tmp_path) == []


def test_data_that_vanishes_during_the_download(store: MemoryStore, tmp_path: Path) -> None:
    class LosesData(Wrapped):
        def open_range(self, key: str, offset: int, length: int) -> AbstractContextManager[Body]:
            lose(store, 300)
            return super().open_range(key, offset, length)

    done = Restorer(LosesData(store), KEYS, OwnNonces()).restore(str(tmp_path))
    assert done.manifest.step == 200
    assert [one.checkpoint for one in done.passed_by] == ["checkpoint-300"]
    assert os.listdir(tmp_path) == ["checkpoint-200"]
