"""RequestLimitExceeded: CreateTags has a bucket of 100 calls, refilled by 10 a second, for the whole account and region."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field

from runctl_agent.contract import tags as contract
from runctl_agent.contract.phases import Phase
from runctl_agent.errors import TagsThrottled
from runctl_agent.pace import TAG_RULES, Pace, Urgency, spread
from runctl_agent.publish import Publisher
from tests.fakes.agent_state import INSTANCE, drive, state
from tests.fakes.clock import FakeRuntime
from tests.fakes.tag_store import Facts, Fate, TagStore


class Account:
    """What all callers of CreateTags share; a throttled call costs nothing."""

    def __init__(self) -> None:
        self._tokens, self._at = 100.0, 0.0

    def grants(self, now: float) -> bool:
        self._tokens = min(100.0, self._tokens + (now - self._at) * 10.0)
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


@dataclass
class Fleet:
    """Agents that publish nothing but heartbeats, and a phase now and then."""

    size: int
    seed: int
    calls: list[tuple[float, bool]] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def run(self, seconds: float, phase_every: float) -> None:
        """Launched within ten minutes; one instance, drawn by lot, has a new phase every `phase_every` seconds."""
        lot, account = random.Random(self.seed), Account()
        agents: dict[int, Pace] = {}
        wanted: dict[int, float] = {}
        queue = [(600.0 * n / self.size, n) for n in range(self.size)]
        queue += [(600.0 + phase_every * n, -1) for n in range(int((seconds - 600.0) / phase_every))]
        heapq.heapify(queue)
        while queue and queue[0][0] < seconds:
            now, n = heapq.heappop(queue)
            if n < 0:
                n = lot.randrange(self.size)
                wanted.setdefault(n, now)
                agents[n].hasten(now)
            elif n not in agents:
                agents[n] = Pace(TAG_RULES, now, spread(f"i-{n:017x}"))
                wanted[n] = now
            pace = agents[n]
            due = pace.due(Urgency.PHASE if n in wanted else Urgency.HEARTBEAT)
            if due <= now:
                self._call(pace, account, now, lot, n, wanted)
                due = max(now, pace.due(Urgency.PHASE if n in wanted else Urgency.HEARTBEAT))
            heapq.heappush(queue, (due, n))

    def _call(self, pace: Pace, account: Account, now: float, lot: random.Random, n: int, wanted: dict[int, float]) -> None:
        granted = account.grants(now)
        self.calls.append((now, granted))
        pace.called(now)
        if not granted:
            pace.throttled(now, lot.random())
            return
        pace.done()
        if n in wanted:
            self.latencies.append(now - wanted.pop(n))


def test_two_thousand_instances_are_not_throttled() -> None:
    fleet = Fleet(2_000, seed=1)
    fleet.run(3600, phase_every=10)
    assert all(granted for _, granted in fleet.calls)
    assert max(fleet.latencies) == 0.0


def test_ten_thousand_instances_stretch_their_heartbeats_and_phases_still_get_through() -> None:
    fleet = Fleet(10_000, seed=2)
    fleet.run(4 * 3600, phase_every=10)
    late = [granted for at, granted in fleet.calls if at > 2 * 3600]
    throttled = late.count(False) / len(late)
    assert 0.0 < throttled < 0.35
    answered = late.count(True) / (2 * 3600)
    assert 7.0 < answered <= 10.0  # what the account gives is used
    settled = sorted(fleet.latencies[-700:])
    assert settled[int(len(settled) * 0.5)] == 0.0
    assert settled[int(len(settled) * 0.99)] < 10.0


def publisher(runtime: FakeRuntime, store: TagStore) -> Publisher:
    return Publisher(runtime, tags=store, status=None, memory=Facts(), write_local=lambda _: None, instance=INSTANCE)


def test_a_throttled_phase_backs_off_with_jitter_and_gets_through() -> None:
    runtime = FakeRuntime(rolls=0.5)
    store = TagStore(runtime.monotonic, [Fate.THROTTLED] * 4)
    agent = publisher(runtime, store)
    began = runtime.monotonic()
    agent.update(state(1))
    drive(runtime, agent, 60)
    assert [at - began for at, _ in store.calls] == [0, 0.5, 1.5, 3.5, 7.5]
    assert store.now[contract.PHASE] == "training"
    assert agent.problems() == ()


def test_a_new_phase_does_not_wait_for_the_back_off_of_the_one_before() -> None:
    runtime = FakeRuntime(rolls=0.99)
    store = TagStore(runtime.monotonic, [Fate.THROTTLED] * 5)
    agent = publisher(runtime, store)
    agent.update(state(1))
    drive(runtime, agent, 20)
    assert len(store.calls) == 5
    agent.update(state(2, Phase.FAILED))
    agent.turn()
    assert store.now[contract.PHASE] == "failed"


def test_a_throttled_heartbeat_is_not_tried_again_before_twice_the_interval() -> None:
    runtime = FakeRuntime()
    store = TagStore(runtime.monotonic)
    agent = publisher(runtime, store)
    agent.update(state(1))
    drive(runtime, agent, 700)
    calls = len(store.calls)
    store._script = iter([Fate.THROTTLED])
    while len(store.calls) == calls:
        drive(runtime, agent, 1)
    drive(runtime, agent, 590)
    assert len(store.calls) == calls + 1
    drive(runtime, agent, 15)
    assert len(store.calls) == calls + 2
    assert agent.problems() == ()


def test_throttled_reads_keep_the_slot_and_lose_no_post() -> None:
    runtime = FakeRuntime()
    store = TagStore(runtime.monotonic)
    store.reading = TagsThrottled("ec2:DescribeTags", "RequestLimitExceeded")
    agent = publisher(runtime, store)
    for step in range(4):
        agent.update(state(step))
        drive(runtime, agent, 31)
    assert [tags[contract.STATE][0] for _, tags in store.calls] == ["a"] * 4
    assert store.now[contract.STEP] == "3"
    assert store.reads <= 5 * len(store.calls)
