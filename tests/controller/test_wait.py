"""`wait`'s looking, on a clock that moves only when it sleeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from runctl.exits import Throttled, Unavailable
from runctl.fleet import Machine, machine_of
from runctl.launched import Launched
from runctl.resolve import Target
from runctl.shelf import Standing
from runctl.silence import NEVER
from runctl.verdict import Outcome
from runctl.wait import ABSENT, Patience, Wait
from runctl_agent.contract.phases import Phase
from runctl_agent.contract.status import State
from runctl_agent.errors import NotFoundError, RefusedError, StoreRefused, StoreUnavailable, TimedOutError
from tests.controller.described import ID, LAUNCHED, described, posted, state
from tests.fakes.clock import FakeRuntime

Look = Callable[[], Sequence[dict[str, Any]]]


class World:
    """The fleet, the shelf and the resolver in one: each look takes the next of `looks`, the last for ever."""

    def __init__(self, *looks: Sequence[dict[str, Any]] | Exception, status: State | Exception | None = None) -> None:
        self.runtime = FakeRuntime(wall=LAUNCHED + 100.0)
        self.fleet = self
        self.said: list[str] = []
        self.status_reads = 0
        self.launched_at: int | None = None
        self._status = status
        self._looks = self._each(looks)

    @staticmethod
    def _each(looks: Sequence[Sequence[dict[str, Any]] | Exception]) -> Iterator[Sequence[dict[str, Any]] | Exception]:
        yield from looks
        while True:
            yield looks[-1]

    def of(self, run: str) -> list[Machine]:
        found = next(self._looks)
        if isinstance(found, Exception):
            raise found
        return [machine_of(one) for one in found]

    def one(self, instance_id: str) -> Machine:
        found = [machine for machine in self.of("") if machine.id == instance_id]
        if not found:
            raise NotFoundError("gone")
        return found[0]

    def shelf(self, target: Target) -> World:
        return self

    def status(self, run: str) -> State | None:
        self.status_reads += 1
        if isinstance(self._status, Exception):
            raise self._status
        return self._status

    def launched(self, run: str) -> Standing | None:
        return None if self.launched_at is None else Standing(Launched("x", at=self.launched_at), "e")

    def wait(self, *known: dict[str, Any], pinned: bool = False, timeout: float = 0.0, every: float = 5.0) -> Outcome:
        target = Target("gpt2", "s3://bucket/runs", tuple(map(machine_of, known)), pinned)
        waiting = Wait(self, lambda: target, Patience(timeout, every), self.said.append)  # type: ignore[arg-type]  # a fake
        return waiting.until_ended().outcome


TRAINING = posted(state(Phase.TRAINING))
FINISHED = posted(state(Phase.FINISHED))


def test_it_looks_every_so_often_and_tells_only_what_changes() -> None:
    world = World([TRAINING], [TRAINING], [posted(state(Phase.FINISHING, heartbeat=LAUNCHED + 120))], [FINISHED])
    assert world.wait(TRAINING) is Outcome.FINISHED
    assert world.runtime.slept == [5.0, 5.0, 5.0]
    assert [text.partition(",")[0] for text in world.said] == [f"training on {ID}", f"finishing on {ID}"]
    assert world.status_reads == 0


def test_throttled_it_backs_off_says_so_once_and_goes_on() -> None:
    throttled = Throttled("ec2:DescribeInstances", "RequestLimitExceeded", "try again")
    world = World(*[throttled] * 5, [TRAINING], throttled, [FINISHED])
    assert world.wait(TRAINING) is Outcome.FINISHED
    assert world.runtime.slept == [10.0, 20.0, 40.0, 60.0, 60.0, 5.0, 10.0]
    assert sum("RequestLimitExceeded" in text for text in world.said) == 1


def test_no_answer_is_borne_and_a_refusal_is_not() -> None:
    assert World(Unavailable("ec2", "no answer"), [FINISHED]).wait(TRAINING) is Outcome.FINISHED
    with pytest.raises(RefusedError):
        World(RefusedError("ec2", "denied", "allow it")).wait(TRAINING)


def test_it_ends_at_the_timeout_after_a_last_look() -> None:
    world = World([TRAINING])
    with pytest.raises(TimedOutError) as caught:
        world.wait(TRAINING, timeout=12)
    assert world.runtime.slept == [5.0, 5.0, 2.0]
    assert f"training on {ID}" in caught.value.why
    assert "longer --timeout" in caught.value.mend


def test_an_instance_missing_from_some_answers_is_not_gone() -> None:
    world = World([TRAINING], [], [], [TRAINING], [], [FINISHED])
    assert world.wait(TRAINING) is Outcome.FINISHED


def test_an_instance_missing_for_long_is_gone() -> None:
    world = World([], status=state(Phase.TRAINING))
    assert world.wait(TRAINING) is Outcome.GONE
    assert sum(world.runtime.slept) == ABSENT


def test_a_pinned_instance_is_followed_and_not_its_successor() -> None:
    lost = posted(state(Phase.TRAINING), power="terminated")
    other = described(instance="i-00000000000000002", launched=LAUNCHED + 500)
    assert World([other, lost]).wait(lost, pinned=True) is Outcome.GONE
    successor = described(instance="i-00000000000000002", launched=LAUNCHED + 500)
    with pytest.raises(TimedOutError):
        World([successor, lost]).wait(lost, timeout=30)


def test_a_run_just_launched_that_ec2_does_not_show_yet() -> None:
    world = World([], [], [FINISHED])
    world.launched_at = LAUNCHED + 95
    assert world.wait() is Outcome.FINISHED


def test_a_run_that_only_s3_knows() -> None:
    world = World([], status=state(Phase.FINISHED))
    world.launched_at = LAUNCHED - 9000
    assert world.wait() is Outcome.FINISHED
    assert world.runtime.slept == []


def test_an_agent_that_never_reported_is_said_once_and_waited_for() -> None:
    world = World([described()])
    with pytest.raises(TimedOutError):
        world.wait(described(), timeout=2 * NEVER)
    assert [text for text in world.said if "has not reported since the launch" in text] == [world.said[1]]
    assert sum(world.runtime.slept) == 2 * NEVER


def test_a_store_that_refuses_is_said_once_and_the_tags_decide() -> None:
    refused = StoreRefused("GetObject", "AccessDenied", "allow it")
    world = World([described()], [described()], [FINISHED], status=refused)
    assert world.wait(described()) is Outcome.FINISHED
    assert sum("AccessDenied" in text for text in world.said) == 1


def test_a_store_that_does_not_answer_about_one_that_is_gone_is_asked_again() -> None:
    world = World([described(power="terminated")], status=StoreUnavailable("GetObject", "no answer"))
    with pytest.raises(TimedOutError):
        world.wait(described(), timeout=20)


def test_the_run_is_looked_for_as_patiently() -> None:
    world, tries = World([FINISHED]), iter([Throttled("ec2", "RequestLimitExceeded"), None])

    def find() -> Target:
        error = next(tries)
        if error is not None:
            raise error
        return Target("gpt2", "s3://bucket/runs", (machine_of(FINISHED),))

    assert Wait(world, find, Patience(), world.said.append).until_ended().outcome is Outcome.FINISHED  # type: ignore[arg-type]
    assert world.runtime.slept == [10.0]
