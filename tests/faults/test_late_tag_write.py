"""A CreateTags call without an answer lands minutes later, on top of what was posted since."""

from __future__ import annotations

import pytest

from runctl_agent.contract import tags as contract
from runctl_agent.contract.phases import Phase
from runctl_agent.contract.status import State
from runctl_agent.publish import Publisher
from tests.fakes.agent_state import INSTANCE, drive, state
from tests.fakes.clock import FakeRuntime
from tests.fakes.tag_store import Call, Facts, Fate, TagStore


def publisher(runtime: FakeRuntime, store: TagStore, facts: Facts | None = None) -> Publisher:
    memory = Facts() if facts is None else facts
    return Publisher(runtime, tags=store, status=None, memory=memory, write_local=lambda _: None, instance=INSTANCE)


def posted(store: TagStore) -> State:
    found = contract.read(store.now, instance=INSTANCE, launch_time=None).state
    assert found is not None
    return found


@pytest.mark.parametrize("delay", [3.0, 12.0, 50.0, 110.0, 280.0])
@pytest.mark.parametrize("fate", [Fate.LATE, Fate.LATE_TORN])
def test_a_late_write_after_a_terminal_phase_is_posted_over(fate: Fate, delay: float) -> None:
    runtime = FakeRuntime()
    store = TagStore(runtime.monotonic, [Call(), Call(fate, delay)])
    agent = publisher(runtime, store)
    agent.update(state(1))
    drive(runtime, agent, 40)
    agent.update(state(2, Phase.SAVING))  # its call lands late
    agent.turn()
    agent.update(state(3, Phase.STOPPED))
    drive(runtime, agent, 2)
    assert posted(store).phase is Phase.STOPPED
    drive(runtime, agent, 2 * delay + 320)
    assert store.now[contract.PHASE] == "stopped"
    assert posted(store).phase is Phase.STOPPED
    assert posted(store).step == 3


def test_a_late_write_of_the_agent_before_is_posted_over() -> None:
    runtime, facts = FakeRuntime(), Facts()
    store = TagStore(runtime.monotonic, [Call(Fate.LATE, 20.0)])
    killed = publisher(runtime, store, facts)
    killed.update(state(1, Phase.STARTING))
    killed.turn()
    runtime.advance(1)
    successor = publisher(runtime, store, facts)
    successor.update(state(2, Phase.TRAINING))
    drive(runtime, successor, 90)
    assert store.now[contract.PHASE] == "training"
    assert posted(store).step == 2


def test_a_late_write_of_an_agent_whose_journal_is_lost_does_not_pass_for_ours() -> None:
    runtime = FakeRuntime()
    store = TagStore(runtime.monotonic, [Call(Fate.LATE, 20.0)])
    killed = publisher(runtime, store)
    killed.update(state(1, Phase.STARTING))
    killed.turn()
    runtime.advance(1)
    successor = publisher(runtime, store)
    successor.update(state(2))
    drive(runtime, successor, 10)
    assert posted(store).generation == 1  # the same that the late one has
    drive(runtime, successor, 80)
    assert posted(store).step == 2
    assert posted(store).generation > 1
    assert {tags[contract.STATE][0] for _, tags in store.calls} == {"a"}  # ours was no longer seen


def test_every_late_write_is_posted_over_within_the_budget() -> None:
    runtime = FakeRuntime()
    script = [Call(), *(Call(Fate.LATE, 20.0 + 45.0 * n) for n in range(6))]
    store = TagStore(runtime.monotonic, script)
    agent = publisher(runtime, store)
    agent.update(state(1))
    drive(runtime, agent, 60)
    agent.update(state(2, Phase.FINISHED))
    drive(runtime, agent, 1200)
    assert store.now[contract.PHASE] == "finished"
    assert posted(store).step == 2
    assert len(store.calls) <= 6 + 2 * 21


def test_a_late_write_in_the_middle_of_a_run_does_not_stay_until_the_next_heartbeat() -> None:
    runtime = FakeRuntime()
    store = TagStore(runtime.monotonic)
    agent = publisher(runtime, store)
    agent.update(state(1))
    drive(runtime, agent, 1000)
    calls = len(store.calls)
    while len(store.calls) == calls:
        drive(runtime, agent, 1)
    store._script = iter([Call(Fate.LATE, 100.0)])
    agent.update(state(2), urgent=True)
    agent.turn()
    agent.update(state(3), urgent=True)
    drive(runtime, agent, 110)
    assert store.now[contract.STEP] == "2"
    drive(runtime, agent, 15)
    assert store.now[contract.STEP] == "3"
    assert posted(store).step == 3
