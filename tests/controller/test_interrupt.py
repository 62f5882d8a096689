"""Ctrl-C before the id is told leaves nothing behind, and no command ever leaves two instances."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from runctl.claim import Claim
from runctl.exits import Interrupted, Throttled, Unavailable
from runctl.fleet import Machine, machine_of
from runctl.launched import Launched
from runctl.shelf import Shelf, Standing
from runctl.spend import AGAIN_AFTER, LOOKS, PAUSE, Spending
from runctl_agent.contract.spec import Spec, Watched
from runctl_agent.errors import RefusedError, StoreRefused, WrongStateError
from tests.controller.described import described
from tests.fakes.clock import FakeRuntime
from tests.fakes.memory_store import MemoryStore

SPEC = Spec("gpt2", "s3://bucket/runs", (Watched("out"),))
LAUNCHED = Launched("g5.xlarge", token="mine")
REQUEST = {"ClientToken": "mine"}


class FakeEc2:
    """`on_run` may raise; `landed`: whether the instance was launched all the same; it shows after `late` looks."""

    def __init__(self, on_run: Callable[[], None] = lambda: None, *, landed: bool = True, late: int = 0) -> None:
        self._on_run = on_run
        self._landed = landed
        self._late = late
        self.terminated: list[str] = []
        self.looks = 0

    def run(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        self._on_run()
        return described()

    def instances(self, filters: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        self.looks += 1
        there = self._landed and self.looks > self._late
        return [described(token="mine"), described(instance="i-00000000000000002", token="another")] if there else []

    def terminate(self, instance_id: str) -> None:
        self.terminated.append(instance_id)


class Place:
    """A destination in memory, and one launch to it."""

    def __init__(self, ec2: FakeEc2) -> None:
        self.runtime = FakeRuntime()
        self.store = MemoryStore()
        self.shelf = Shelf("s3://bucket/runs", self.runtime)
        self.shelf._made = None, self.store  # type: ignore[assignment]  # no S3
        self.ec2 = ec2
        self.said: list[str] = []
        self.told: list[str] = []

    def launch(self, tell: Callable[[Machine], None] | None = None, spec: Spec = SPEC) -> Machine:
        claim = Claim(self.shelf, spec.run)
        spending = Spending(self.ec2, self.runtime, claim, spec.run, self.said.append)  # type: ignore[arg-type]  # a fake
        return spending.launch(lambda: claim.new(spec, LAUNCHED), REQUEST, tell or (lambda machine: self.told.append(machine.id)))

    def keys(self) -> list[str]:
        return list(self.store.list(""))


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def lost() -> None:
    raise Unavailable("ec2:RunInstances", "the answer was lost", "try again")


def test_it_is_told_and_everything_stands() -> None:
    place = Place(FakeEc2())
    assert place.launch().id == machine_of(described()).id
    assert place.keys() == ["runs/gpt2/launch.json", "runs/gpt2/run.json"]
    assert (place.told, place.said, place.ec2.terminated) == ([machine_of(described()).id], [], [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_while_the_instance_is_launched(number: signal.Signals) -> None:
    place = Place(FakeEc2(lambda: os.kill(os.getpid(), number)))
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as caught:
        place.launch()
    assert caught.value.full == (
        "gpt2 was not launched: interrupted; what had begun was undone\n  mend: the same command launches it"
    )
    assert caught.value.exit_code == 130
    assert place.ec2.terminated == [machine_of(described()).id]
    assert (place.keys(), place.told) == ([], [])
    assert signal.getsignal(number) is before


def test_ctrl_c_while_the_id_is_told_stops_the_watching_alone() -> None:
    place = Place(FakeEc2())
    with pytest.raises(Interrupted) as caught:
        place.launch(lambda machine: interrupt())
    assert caught.value.why == "interrupted; the training goes on"
    assert "runctl wait gpt2" in caught.value.mend
    assert place.ec2.terminated == []
    assert place.keys() == ["runs/gpt2/launch.json", "runs/gpt2/run.json"]


def test_interrupted_before_the_instance_is_launched() -> None:
    place = Place(FakeEc2())
    put = place.store.put

    def interrupted(*arguments: Any, **options: Any) -> str:
        interrupt()
        return put(*arguments, **options)

    place.store.put = interrupted  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        place.launch()
    assert (place.keys(), place.told, place.ec2.terminated, place.ec2.looks) == ([], [], [], 0)


def test_an_id_that_could_not_be_told() -> None:
    place = Place(FakeEc2())

    def closed(machine: Machine) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        place.launch(closed)
    assert place.ec2.terminated == [machine_of(described()).id]
    assert place.keys() == []


def test_what_ec2_refuses_frees_the_name() -> None:
    def refuse() -> None:
        raise RefusedError("ec2:RunInstances", "InsufficientInstanceCapacity", "another zone")

    place = Place(FakeEc2(refuse))
    with pytest.raises(RefusedError):
        place.launch()
    assert (place.keys(), place.ec2.looks, place.ec2.terminated) == ([], 0, [])


@pytest.mark.parametrize("late", [0, 3])
def test_a_lost_answer_of_an_instance_that_was_launched(late: int) -> None:
    place = Place(FakeEc2(lost, late=late))
    with pytest.raises(Unavailable):
        place.launch()
    assert place.ec2.terminated == [machine_of(described()).id], "that of another token is left alone"
    assert place.runtime.slept == [*AGAIN_AFTER, *[PAUSE] * late]
    assert place.keys() == []


def test_a_lost_answer_of_an_instance_that_was_not_launched() -> None:
    place = Place(FakeEc2(lost, landed=False))
    with pytest.raises(Unavailable):
        place.launch()
    assert place.runtime.slept == [*AGAIN_AFTER, *[PAUSE] * (LOOKS - 1)]
    assert (place.keys(), place.ec2.terminated) == ([], [])


@pytest.mark.parametrize("error", [Unavailable("ec2:RunInstances", "lost", ""), Throttled("ec2:RunInstances", "later", "")])
def test_what_passes_is_asked_again_with_the_same_token(error: Exception) -> None:
    errors = [error, error]

    def passing() -> None:
        if errors:
            raise errors.pop()

    place = Place(FakeEc2(passing))
    place.launch()
    assert place.told == [machine_of(described()).id]
    assert (place.runtime.slept, place.ec2.terminated) == ([*AGAIN_AFTER[:2]], [])


def test_throttled_to_the_end_nothing_was_launched_and_nobody_looks() -> None:
    def throttle() -> None:
        raise Throttled("ec2:RunInstances", "RequestLimitExceeded", "try again")

    place = Place(FakeEc2(throttle))
    with pytest.raises(Throttled):
        place.launch()
    assert (place.ec2.looks, place.keys()) == (0, [])


def test_a_name_that_another_takes_at_the_same_moment_stays_theirs() -> None:
    place = Place(FakeEc2())
    place.store.put("runs/gpt2/run.json", b"theirs")
    with pytest.raises(WrongStateError):
        place.launch()
    assert place.keys() == ["runs/gpt2/run.json"]


def test_two_equal_launches_are_told_apart_by_their_tokens() -> None:
    place = Place(FakeEc2())
    place.launch()
    claim = Claim(place.shelf, "gpt2")
    with pytest.raises(WrongStateError):
        claim.new(SPEC, LAUNCHED.begun("another", 1))
    claim.take_back()
    assert place.keys() == ["runs/gpt2/launch.json", "runs/gpt2/run.json"]


def test_of_two_next_attempts_one_wins_and_what_stood_before_comes_back() -> None:
    place = Place(FakeEc2())
    place.launch()
    got = place.store.get("runs/gpt2/launch.json")
    assert got is not None
    standing = Standing(LAUNCHED, got.etag)
    first, second = Claim(place.shelf, "gpt2"), Claim(place.shelf, "gpt2")
    first.next(standing, LAUNCHED.begun("second", 2))
    with pytest.raises(WrongStateError, match="another command launches"):
        second.next(standing, LAUNCHED.begun("third", 3))
    second.take_back()
    first.take_back()
    after = place.store.get("runs/gpt2/launch.json")
    assert after is not None
    assert after.body == got.body


def test_a_claim_that_can_not_be_taken_back_is_said() -> None:
    place = Place(FakeEc2(interrupt))

    def denied(key: str) -> None:
        raise StoreRefused("DeleteObject", "AccessDenied", "allow s3:DeleteObject")

    place.store.delete = denied  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        place.launch()
    assert "the run's name stays taken" in place.said[-1]
    assert "allow s3:DeleteObject" in place.said[-1]
    assert place.ec2.terminated
