"""A byte changes on the wire while a checkpoint comes back: only what is wrong is fetched again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runctl_agent.runtime import ThreadRuntime
from runctl_agent.store import fetch
from runctl_agent.store.objects import Body, ObjectStore
from runctl_agent.store.restore import Restorer
from tests.fakes.manifests import KEYS, OwnNonces, committed, manifest_of
from tests.fakes.memory_store import MemoryStore
from tests.fakes.store_faults import CountsBytes, Wrapped

PART = 1000
CONTENT = os.urandom(200 * PART)


class SpoilsByte(Wrapped):
    """The byte at `place` of the newest checkpoint's object arrives changed, `times` times."""

    def __init__(self, inner: ObjectStore, place: int, times: int) -> None:
        super().__init__(inner)
        self.place = place
        self.left = times

    @contextmanager
    def open_range(self, key: str, offset: int, length: int) -> Iterator[Body]:
        with self.inner.open_range(key, offset, length) as body:
            yield _Spoilt(self, body, offset) if "checkpoint-2" in key else body


class _Spoilt:
    def __init__(self, by: SpoilsByte, body: Body, at: int) -> None:
        self._by = by
        self._body = body
        self._at = at

    def readinto(self, buffer: memoryview, /) -> int:
        count, at = self._body.readinto(buffer), self._at
        self._at += count
        if self._by.left and at <= self._by.place < self._at:
            self._by.left -= 1
            buffer[self._by.place - at] ^= 1
        return count


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    for seq in (1, 2):
        committed(store, manifest_of(f"checkpoint-{seq}", seq, {"a.bin": CONTENT}, seq=seq, part=PART))
    return store


@pytest.mark.parametrize("times", [1, fetch.TRIES - 1])
@pytest.mark.parametrize("place", [0, 100 * PART - 1, 100 * PART, len(CONTENT) - 1])
def test_no_other_part_is_fetched_again(store: MemoryStore, tmp_path: Path, place: int, times: int) -> None:
    counted = CountsBytes(SpoilsByte(store, place, times))
    done = Restorer(counted, KEYS, OwnNonces()).restore(str(tmp_path))
    assert (done.manifest.step, done.passed_by) == (2, ())
    assert (tmp_path / "checkpoint-2" / "a.bin").read_bytes() == CONTENT
    assert counted.read == len(CONTENT) + times * PART
    assert done.bytes == len(CONTENT)


@pytest.mark.parametrize("runtime", [OwnNonces, ThreadRuntime])
def test_what_never_arrives_right_is_passed_by_and_nothing_of_it_stays(
    store: MemoryStore, tmp_path: Path, runtime: type[OwnNonces] | type[ThreadRuntime]
) -> None:
    place = 77 * PART
    done = Restorer(SpoilsByte(store, place, 10**9), KEYS, runtime()).restore(str(tmp_path))
    assert done.manifest.step == 1
    assert [one.checkpoint for one in done.passed_by] == ["checkpoint-2"]
    assert f"from byte {place} the digest is" in done.passed_by[0].reason
    assert os.listdir(tmp_path) == ["checkpoint-1"]
