"""A store that takes no notice of If-None-Match or If-Match, as some servers do."""

from __future__ import annotations

import pytest

from runctl_agent.errors import PreconditionFailed, StoreRefused
from runctl_agent.store.commit import Committer
from runctl_agent.store.objects import Got, ObjectStore
from tests.fakes.manifests import INSTANCE, KEYS, RUN, OwnNonces
from tests.fakes.memory_store import MemoryStore
from tests.fakes.store_faults import IgnoresConditions, Wrapped


def prove(store: ObjectStore) -> None:
    Committer(store, KEYS, OwnNonces(), RUN, INSTANCE).prove_conditional_writes()


def test_a_store_that_keeps_conditions_is_proven_again_and_again() -> None:
    store = MemoryStore()
    prove(store)
    prove(store)
    assert list(store.list("")) == [KEYS.probe]


@pytest.mark.parametrize("if_match_only", [False, True])
def test_a_store_that_ignores_them_is_refused_and_nothing_else_is_written(if_match_only: bool) -> None:
    store = MemoryStore()
    with pytest.raises(StoreRefused, match="commits nothing") as caught:
        prove(IgnoresConditions(store, if_match_only=if_match_only))
    assert caught.value.permanent
    assert ("If-Match on" in caught.value.why) == if_match_only
    assert caught.value.mend
    assert list(store.list("")) == [KEYS.probe]


def test_a_lost_answer_proves_nothing_wrong() -> None:
    store = MemoryStore()
    store.lose_answer("put", key=KEYS.probe)
    prove(store)


class AnswersNothing(Wrapped):
    """No S3 at all, such as a web server that answers 404 to everything: a conditional write reads as refused."""

    def put(
        self, key: str, body: bytes | memoryview, *, crc: int | None = None, if_absent: bool = False, if_match: str | None = None
    ) -> str:
        raise PreconditionFailed(f"writing {key}", "404")

    def get(self, key: str) -> Got | None:
        return None


def test_a_server_that_knows_nothing_proves_nothing() -> None:
    with pytest.raises(StoreRefused, match="is this an S3 at all"):
        prove(AnswersNothing(MemoryStore()))
