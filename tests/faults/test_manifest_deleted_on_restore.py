"""Retention, or somebody, deletes the newest manifest after a restore listed it: the one before is restored, and it is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runctl_agent.errors import StoreUnavailable
from runctl_agent.store.objects import Got
from runctl_agent.store.restore import Restorer
from tests.fakes.manifests import KEYS, OwnNonces, committed, manifest_of
from tests.fakes.memory_store import MemoryStore
from tests.fakes.store_faults import Wrapped

NEWEST = KEYS.manifest(1, 2, "checkpoint-2")


class AfterTheListing(Wrapped):
    """Before the newest manifest is read for the second time it is as `body` says; None: gone."""

    def __init__(self, inner: MemoryStore, body: bytes | None) -> None:
        super().__init__(inner)
        self._body = body
        self._read = 0

    def get(self, key: str) -> Got | None:
        self._read += key == NEWEST
        if self._read == 2:
            self.inner.delete(NEWEST)
            if self._body is not None:
                self.inner.put(NEWEST, self._body)
        return super().get(key)


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    for step in (1, 2):
        committed(store, manifest_of(f"checkpoint-{step}", step, seq=step))
    return store


@pytest.mark.parametrize(
    ("body", "reason"), [(None, "was deleted meanwhile"), (b"{", "can't be read any more")], ids=["deleted", "damaged"]
)
def test_the_one_before_is_restored_and_it_says_why(store: MemoryStore, tmp_path: Path, body: bytes | None, reason: str) -> None:
    done = Restorer(AfterTheListing(store, body), KEYS, OwnNonces()).restore(str(tmp_path))
    assert done.manifest.step == 1
    assert [one.checkpoint for one in done.passed_by] == ["checkpoint-2"]
    assert reason in done.passed_by[0].reason
    assert os.listdir(tmp_path) == ["checkpoint-1"]


def test_a_store_that_does_not_answer_then_is_no_reason_to_restore_an_older_one(store: MemoryStore, tmp_path: Path) -> None:
    class FailsThen(AfterTheListing):
        def get(self, key: str) -> Got | None:
            self._read += key == NEWEST
            if self._read >= 2 and key == NEWEST:
                raise StoreUnavailable("S3 does not answer", "connection reset")
            return self.inner.get(key)

    with pytest.raises(StoreUnavailable):
        Restorer(FailsThen(store, None), KEYS, OwnNonces()).restore(str(tmp_path))
    assert os.listdir(tmp_path) == []
