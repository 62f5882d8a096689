"""The tags of one call don't change at once, and every reader sees each of them from a replica of its own."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from runctl_agent.contract import tags as contract
from runctl_agent.contract.phases import Phase
from runctl_agent.contract.status import State
from runctl_agent.publish import Publisher
from tests.fakes.agent_state import INSTANCE, drive, state
from tests.fakes.clock import FakeRuntime
from tests.fakes.tag_store import Call, Facts, Fate, TagStore

PROMPT = (Fate.FINE, Fate.THROTTLED, Fate.DENIED, Fate.LOST, Fate.NO_ANSWER)
PHASES = (Phase.TRAINING, Phase.SAVING, Phase.FINISHING)


@dataclass(frozen=True)
class Step:
    """An update, and what the publisher does in the seconds after it."""

    phase: Phase
    urgent: bool
    seconds: float
    killed: bool  # then the agent is killed, and a new one begins


steps = st.lists(
    st.builds(Step, st.sampled_from(PHASES), st.booleans(), st.sampled_from([1.0, 2.0, 7.0, 31.0, 130.0]), st.booleans()),
    min_size=1,
    max_size=10,
)
lags = st.lists(st.sampled_from([0.0, 0.3, 2.0, 9.0]), min_size=1, max_size=4)
any_call = st.builds(Call, st.sampled_from(list(Fate)), st.sampled_from([0.4, 3.0, 20.0, 100.0]))
prompt_call = st.builds(Call, st.sampled_from(PROMPT), st.just(0.0)) | st.just(Call(Fate.TORN, 0.4))


class World:
    def __init__(self, script: list[Call], lags: list[float]) -> None:
        self.runtime = FakeRuntime()
        self.store = TagStore(self.runtime.monotonic, script)
        self.store.lags = lags
        self.facts = Facts()
        self.agent = self.begin()
        self.newest = state(0)

    def begin(self) -> Publisher:
        return Publisher(
            self.runtime, tags=self.store, status=None, memory=self.facts, write_local=lambda _: None, instance=INSTANCE
        )

    def play(self, script: list[Step]) -> None:
        for number, step in enumerate(script):
            self.newest = state(number, step.phase)
            self.agent.update(self.newest, urgent=step.urgent)
            drive(self.runtime, self.agent, step.seconds)
            if step.killed:
                self.agent = self.begin()
                self.agent.update(self.newest)

    def posted(self) -> set[State]:
        found = [contract.decode_slot(tags, slot) for _, tags in self.store.calls for slot in "ab"]
        return {one for one in found if isinstance(one, State)}

    def readings(self, lags: list[float]) -> list[State | None]:
        """What readers found at every moment at which something changed, and between."""
        moments = self.store.moments()
        moments += [m + 0.1 for m in moments]
        return [contract.read(self.store.mixed(m, lags), instance=INSTANCE, launch_time=None).state for m in sorted(moments)]


@settings(max_examples=60, deadline=None)
@given(steps, st.lists(any_call, max_size=15), lags, lags)
def test_no_reader_ever_sees_what_was_never_posted(
    script: list[Step], calls: list[Call], own: list[float], theirs: list[float]
) -> None:
    world = World(calls, own)
    world.play(script)
    posted = world.posted()
    assert {one for one in world.readings(theirs) if one is not None} <= posted


@settings(max_examples=60, deadline=None)
@given(steps, st.lists(any_call, max_size=15), lags)
def test_after_quiet_everybody_reads_the_newest_state(script: list[Step], calls: list[Call], own: list[float]) -> None:
    world = World(calls, own)
    world.play(script)
    world.store._script = iter(())
    drive(world.runtime, world.agent, 900)
    found = contract.read(world.store.now, instance=INSTANCE, launch_time=None)
    assert found.state is not None
    assert (found.state.step, found.state.phase) == (world.newest.step, world.newest.phase)
    assert found.reason == ""
    assert world.store.now[contract.PHASE] == world.newest.phase.value
    assert world.agent.problems() == ()


@settings(max_examples=60, deadline=None)
@given(steps, st.lists(prompt_call, max_size=15))
def test_as_long_as_no_call_lands_late_a_valid_state_always_stands_and_never_an_older_one(
    script: list[Step], calls: list[Call]
) -> None:
    world = World([Call(), *calls], [0.0])
    world.play(script)
    generations = [one.generation if one else None for one in world.readings([0.0])]
    assert None not in generations
    assert generations == sorted(g for g in generations if g is not None)


def test_a_torn_write_is_not_followed_by_one_to_the_slot_that_is_whole() -> None:
    """Writing to the slots in turn, seen or not, leaves no valid state here: a is half overwritten while b is still torn."""
    world = World([Call(), Call(Fate.TORN, 50.0), Call(Fate.TORN, 50.0)], [0.0])
    world.agent.update(state(1))
    drive(world.runtime, world.agent, 40)
    for phase in (Phase.SAVING, Phase.FINISHING):
        world.agent.update(state(2, phase))
        drive(world.runtime, world.agent, 3)
    assert [tags[contract.STATE][0] for _, tags in world.store.calls] == ["a", "b", "b"]
    found = contract.read(world.store.now, instance=INSTANCE, launch_time=None)
    assert found.state is not None
    assert found.state.step == 1
    assert found.reason != ""


def test_the_whole_newest_state_is_read_where_the_plain_tags_are_older() -> None:
    world = World([], [0.0])
    world.agent.update(state(1))
    drive(world.runtime, world.agent, 40)
    world.agent.update(state(2, Phase.FINISHED))
    drive(world.runtime, world.agent, 1)
    mixed = {**world.store.now, **{key: world.store.calls[0][1][key] for key in contract.PLAIN_KEYS}}
    found = contract.read(mixed, instance=INSTANCE, launch_time=None)
    assert found.state is not None
    assert found.state.phase is Phase.FINISHED
