"""The answer to a CreateTags call is lost: it may have landed, or not."""

from __future__ import annotations

import pytest

from runctl_agent.contract import tags as contract
from runctl_agent.contract.phases import Phase
from runctl_agent.publish import Publisher
from tests.fakes.agent_state import INSTANCE, drive, state
from tests.fakes.clock import FakeRuntime
from tests.fakes.tag_store import Facts, Fate, TagStore


def publisher(runtime: FakeRuntime, store: TagStore, facts: Facts) -> Publisher:
    return Publisher(runtime, tags=store, status=None, memory=facts, write_local=lambda _: None, instance=INSTANCE)


def slots(store: TagStore) -> list[str]:
    return [tags[contract.STATE].split(":")[0] for _, tags in store.calls]


def generations(store: TagStore) -> list[int]:
    return [int(tags[contract.STATE].split(":")[1]) for _, tags in store.calls]


def test_the_same_slot_is_used_again_under_a_new_generation() -> None:
    runtime = FakeRuntime()
    store = TagStore(runtime.monotonic, [Fate.FINE, Fate.LOST, Fate.LOST, Fate.LOST])
    agent = publisher(runtime, store, Facts())
    agent.update(state(1))
    drive(runtime, agent, 40)
    agent.update(state(2, Phase.FINISHING))
    drive(runtime, agent, 60)
    assert slots(store) == ["a", "b", "b", "b", "b"]
    assert generations(store) == [1, 2, 3, 4, 5]
    assert contract.read(store.now, instance=INSTANCE, launch_time=None).reason == ""
    assert store.now[contract.PHASE] == "finishing"


def test_a_call_that_landed_without_an_answer_is_not_made_again() -> None:
    runtime = FakeRuntime(rolls=0.99)
    store = TagStore(runtime.monotonic, [Fate.LOST, Fate.NO_ANSWER])
    agent = publisher(runtime, store, Facts())
    agent.update(state(1))
    drive(runtime, agent, 20)
    assert generations(store) == [1, 2]
    assert agent.problems() == ()
    agent.update(state(2))  # no longer as urgent as what landed
    drive(runtime, agent, 5)
    assert generations(store) == [1, 2]


def test_an_agent_killed_before_the_answer_does_not_touch_the_state_that_stands() -> None:
    runtime, facts = FakeRuntime(), Facts()
    store = TagStore(runtime.monotonic, [Fate.FINE, Fate.LOST])
    killed = publisher(runtime, store, facts)
    killed.update(state(1))
    drive(runtime, killed, 40)
    killed.update(state(2, Phase.FINISHING))
    killed.turn()
    successor = publisher(runtime, store, facts)
    successor.update(state(3, Phase.STARTING))
    successor.turn()
    assert slots(store) == ["a", "b", "b"]
    assert generations(store) == [1, 2, 3]


@pytest.mark.parametrize("outage", [10.0, 100.0, 1000.0])
def test_after_an_outage_the_newest_state_stands_soon(outage: float) -> None:
    runtime = FakeRuntime(rolls=0.5)
    until = runtime.monotonic() + outage

    class Outage(TagStore):
        def create(self, tags: object) -> None:
            assert isinstance(tags, dict)
            if runtime.monotonic() < until:
                self._script = iter([Fate.LOST])
            super().create(tags)

    store = Outage(runtime.monotonic)
    agent = publisher(runtime, store, Facts())
    agent.update(state(1, Phase.STARTING))
    drive(runtime, agent, outage / 2)
    agent.update(state(2, Phase.TRAINING))
    drive(runtime, agent, outage / 2)
    assert agent.problems()
    drive(runtime, agent, 121)
    assert agent.problems() == ()
    assert store.now[contract.PHASE] == "training"
    assert len(store.calls) <= 6 + 2 * (outage + 121) / 60
