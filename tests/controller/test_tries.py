"""Where EC2 has no capacity: what is asked for next, and that there is never a second instance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from runctl.claim import Claim
from runctl.exits import Interrupted, NoCapacity, Unavailable
from runctl.launched import Launched, decode_launched
from runctl.shelf import Shelf, Standing
from runctl.spend import Spending
from runctl.tries import others
from runctl_agent.contract.spec import Spec, Watched
from runctl_agent.errors import RefusedError, StoreUnavailable, WrongStateError
from tests.controller.described import described
from tests.controller.test_interrupt import interrupt
from tests.fakes.clock import FakeRuntime
from tests.fakes.memory_store import MemoryStore

SPEC = Spec("gpt2", "s3://bucket/runs", (Watched("out"),))
LAUNCHED = Launched("g5.xlarge", more_types=("g6.xlarge",), token="first")
REQUEST = {"InstanceType": "g5.xlarge", "ClientToken": "first", "MinCount": 1}
KEY = "runs/gpt2/launch.json"


class Scarce:
    """`there`: what EC2 has, as (type, zone), zone empty: of its own choice. `zones` of each type."""

    region = "us-east-1"

    def __init__(self, there: Sequence[tuple[str, str]] = (), zones: Mapping[str, Sequence[str]] | None = None) -> None:
        self.there = there
        self.zones = zones or {}
        self.asked: list[tuple[str, str]] = []
        self.tokens: list[str] = []
        self.terminated: list[str] = []
        self.on_run: Any = lambda: None

    def zones_with(self, name: str) -> Sequence[str]:
        if name not in self.zones:
            raise RefusedError("ec2:DescribeInstanceTypeOfferings", "denied", "")
        return self.zones[name]

    def run(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        what = (request["InstanceType"], request.get("Placement", {}).get("AvailabilityZone", ""))
        self.asked.append(what)
        self.tokens.append(request["ClientToken"])
        self.on_run()
        if what not in self.there:
            raise NoCapacity("ec2:RunInstances", "InsufficientInstanceCapacity: none", "another type")
        return {**described(token=request["ClientToken"]), "InstanceType": what[0]}

    def instances(self, filters: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        return []

    def terminate(self, instance_id: str) -> None:
        self.terminated.append(instance_id)


class Place:
    def __init__(self, ec2: Scarce, launched: Launched = LAUNCHED) -> None:
        self.runtime = FakeRuntime()
        self.store = MemoryStore()
        self.shelf = Shelf("s3://bucket/runs", self.runtime)
        self.shelf._made = None, self.store  # type: ignore[assignment]  # no S3
        self.ec2 = ec2
        self.launched = launched
        self.said: list[str] = []
        self.told: list[str] = []

    def launch(self, standing: Standing | None = None) -> None:
        claim = Claim(self.shelf, "gpt2")
        ec2: Any = self.ec2
        more = others(ec2, self.runtime, self.launched, REQUEST)
        spending = Spending(ec2, self.runtime, claim, "gpt2", self.said.append)

        def begin() -> None:
            claim.next(standing, self.launched) if standing is not None else claim.new(SPEC, self.launched)

        spending.launch(begin, REQUEST, lambda machine: self.told.append(machine.type), more)

    def recorded(self) -> Launched:
        got = self.store.get(KEY)
        assert got is not None
        found = decode_launched(got.body)
        assert isinstance(found, Launched)
        return found


def test_the_next_type_where_no_zone_has_the_first() -> None:
    place = Place(Scarce([("g6.xlarge", "")], {"g5.xlarge": ["a", "b"]}))
    place.launch()
    assert place.ec2.asked == [("g5.xlarge", ""), ("g5.xlarge", "a"), ("g5.xlarge", "b"), ("g6.xlarge", "")]
    assert place.told == ["g6.xlarge"]
    assert place.said == [
        "no capacity for g5.xlarge (InsufficientInstanceCapacity: none): trying g5.xlarge in a",
        "no capacity for g5.xlarge in a (InsufficientInstanceCapacity: none): trying g5.xlarge in b",
        "no capacity for g5.xlarge in b (InsufficientInstanceCapacity: none): trying g6.xlarge",
    ]
    assert len({*place.ec2.tokens}) == 4, "EC2 refuses another request with the token of one before"


def test_the_record_has_the_token_of_what_was_launched_and_the_types_as_they_were_asked_for() -> None:
    place = Place(Scarce([("g5.xlarge", "b")], {"g5.xlarge": ["a", "b"]}))
    place.launch()
    assert place.recorded().token == place.ec2.tokens[-1]
    assert (place.recorded().instance_type, place.recorded().more_types) == ("g5.xlarge", ("g6.xlarge",))


def test_none_anywhere_names_all_that_was_tried_and_frees_the_name() -> None:
    place = Place(Scarce(zones={"g5.xlarge": ["a"], "g6.xlarge": []}))
    with pytest.raises(NoCapacity) as caught:
        place.launch()
    assert "no capacity for g5.xlarge, g5.xlarge in a, g6.xlarge" in caught.value.why
    assert list(place.store.list("")) == []


def test_a_subnet_is_of_one_zone() -> None:
    place = Place(Scarce(), Launched("g5.xlarge", subnet="subnet-1", more_types=("g6.xlarge",), token="first"))
    with pytest.raises(NoCapacity):
        place.launch()
    assert place.ec2.asked == [("g5.xlarge", ""), ("g6.xlarge", "")]


def test_zones_that_nobody_tells_are_passed_by() -> None:
    place = Place(Scarce([("g6.xlarge", "")]))
    place.launch()
    assert place.ec2.asked == [("g5.xlarge", ""), ("g6.xlarge", "")]


def test_ctrl_c_between_two_tries_asks_for_no_more() -> None:
    place = Place(Scarce([("g6.xlarge", "")]))
    place.ec2.on_run = interrupt
    with pytest.raises(Interrupted):
        place.launch()
    assert place.ec2.asked == [("g5.xlarge", "")]
    assert list(place.store.list("")) == []


def test_what_ec2_refuses_otherwise_is_no_reason_to_try_another() -> None:
    place = Place(Scarce([("g6.xlarge", "")]))

    def refuse() -> None:
        raise RefusedError("ec2:RunInstances", "VcpuLimitExceeded", "quota")

    place.ec2.on_run = refuse
    with pytest.raises(RefusedError):
        place.launch()
    assert place.ec2.asked == [("g5.xlarge", "")]


def test_a_lost_answer_to_a_later_try_asks_for_no_more() -> None:
    place = Place(Scarce([("g6.xlarge", "")], {"g5.xlarge": ["a"]}))

    def lost() -> None:
        if len(place.ec2.asked) > 1:
            raise Unavailable("ec2:RunInstances", "the answer was lost", "try again")

    place.ec2.on_run = lost
    with pytest.raises(Unavailable):
        place.launch()
    assert {*place.ec2.asked[1:]} == {("g5.xlarge", "a")}, "the same again, and no other"
    assert len({*place.ec2.tokens}) == 2
    assert list(place.store.list("")) == []


def test_a_next_attempt_that_finds_nothing_leaves_the_record_as_it_was() -> None:
    first = Place(Scarce([("g5.xlarge", "")]))
    first.launch()
    got = first.store.get(KEY)
    assert got is not None
    again = Place(Scarce())
    again.shelf._made = None, first.store  # type: ignore[assignment]  # no S3
    with pytest.raises(NoCapacity):
        again.launch(Standing(LAUNCHED, got.etag))
    after = first.store.get(KEY)
    assert after is not None
    assert after.body == got.body


def test_a_record_that_another_command_wrote_meanwhile_ends_the_trying() -> None:
    place = Place(Scarce([("g6.xlarge", "")]))
    place.ec2.on_run = lambda: place.store.put(KEY, b"theirs")
    with pytest.raises(WrongStateError):
        place.launch()
    assert place.ec2.asked == [("g5.xlarge", "")]
    assert [*place.store.list("")] == [KEY], "what is theirs stays"


def test_a_record_that_was_written_though_the_answer_was_lost_goes_too() -> None:
    place = Place(Scarce([("g6.xlarge", "")]))
    put = place.store.put

    def losing(key: str, *arguments: Any, **options: Any) -> str:
        etag = put(key, *arguments, **options)
        if options.get("if_match"):
            raise StoreUnavailable("PutObject", "the answer was lost", "")
        return etag

    place.store.put = losing  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        place.launch()
    assert list(place.store.list("")) == []
