"""The newest manifest can't be read: the one before is restored, and it is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runctl_agent.contract.manifest import encode_manifest
from runctl_agent.errors import NotFoundError
from runctl_agent.store.restore import Restorer
from tests.fakes.manifests import KEYS, OwnNonces, committed, manifest_of
from tests.fakes.memory_store import MemoryStore

OTHERS = encode_manifest(manifest_of("checkpoint-2", 2, seq=7))


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff" * 100, b'{"version": 99}', OTHERS], ids=["empty", "cut", "binary", "later", "other"]
)
def test_the_one_before_is_restored_and_it_says_why(tmp_path: Path, body: bytes) -> None:
    store = MemoryStore()
    committed(store, manifest_of("checkpoint-1", 1, seq=1))
    store.put(KEYS.manifest(1, 2, "checkpoint-2"), body)
    done = Restorer(store, KEYS, OwnNonces()).restore(str(tmp_path))
    assert done.manifest.step == 1
    assert [one.checkpoint for one in done.passed_by] == ["manifests/000001-00000002-checkpoint-2.json"]
    assert done.passed_by[0].reason.startswith("its manifest can't be read: ")
    assert os.listdir(tmp_path) == ["checkpoint-1"]


def test_an_older_one_that_cant_be_read_is_nobodys_concern(tmp_path: Path) -> None:
    store = MemoryStore()
    store.put(KEYS.manifest(1, 1, "checkpoint-1"), b"{")
    committed(store, manifest_of("checkpoint-2", 2, seq=2))
    assert Restorer(store, KEYS, OwnNonces()).restore(str(tmp_path)).passed_by == ()


def test_with_nothing_before_it_is_an_error_that_says_so(tmp_path: Path) -> None:
    store = MemoryStore()
    store.put(KEYS.manifest(1, 1, "checkpoint-1"), b"{")
    with pytest.raises(NotFoundError, match="1 manifests can't be read"):
        Restorer(store, KEYS, OwnNonces()).restore(str(tmp_path))
