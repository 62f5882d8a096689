"""The rules themselves, with nothing around them."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from runctl_simulator import rules
from runctl_simulator.query import Query
from runctl_simulator.refusal import Refused
from runctl_simulator.throttle import FILTERED, MUTATING, UNFILTERED, Throttle

ID = "i-0123456789abcdef0"


def code(call: Callable[[], object]) -> str:
    """The error code, empty if it is allowed."""
    try:
        call()
    except Refused as refused:
        return refused.code
    return ""


@pytest.mark.parametrize(
    ("key", "value", "answer"),
    [
        ("k" * 127, "v" * 256, ""),
        ("é" * 127, "é" * 256, ""),
        ("k" * 128, "v", "InvalidParameterValue"),
        ("k", "v" * 257, "InvalidParameterValue"),
        ("", "v", "InvalidParameterValue"),
        ("aws:anything", "v", "InvalidParameterValue"),
        ("AWS:anything", "v", "InvalidParameterValue"),
        ("awsome", "", ""),
    ],
)
def test_tags(key: str, value: str, answer: str) -> None:
    assert code(lambda: rules.check_tags({key: value})) == answer


def test_fifty_tags_are_the_most() -> None:
    fifty = {f"key-{n}": "" for n in range(50)}
    rules.check_room(fifty, {"key-7": "overwritten"})
    rules.check_room({**fifty, "aws:ec2:fleet-id": "not counted"}, {})
    assert code(lambda: rules.check_room(fifty, {"one-more": ""})) == "TagLimitExceeded"


@pytest.mark.parametrize("key", ["runctl:a.0", "Name", "a+b-c=d.e,f_g:h@i", "aws:autoscaling:groupName"])
def test_keys_that_imds_shows(key: str) -> None:
    rules.check_metadata_keys([key])


@pytest.mark.parametrize("key", ["a key", "a/b", "é", ".", "..", "_index"])
def test_keys_that_imds_can_not_show(key: str) -> None:
    assert code(lambda: rules.check_metadata_keys([key])) == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("id_", "answer"),
    [
        (ID, ""),
        ("i-0123456789abcdef1", "InvalidInstanceID.NotFound"),
        ("i-01234567", "InvalidInstanceID.NotFound"),
        ("i-012345678", "InvalidInstanceID.Malformed"),
        ("i-XYZ", "InvalidInstanceID.Malformed"),
        ("gpt2", "InvalidInstanceID.Malformed"),
    ],
)
def test_instance_ids(id_: str, answer: str) -> None:
    assert code(lambda: rules.check_instance_ids([id_], [ID])) == answer


def test_user_data_is_measured_raw() -> None:
    rules.check_user_data(base64.b64encode(b"x" * 16384).decode())
    assert code(lambda: rules.check_user_data(base64.b64encode(b"x" * 16385).decode())) == "InvalidParameterValue"
    assert code(lambda: rules.check_user_data("not base64!")) == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("state", "start", "stop", "reboot"),
    [
        ("pending", "", "IncorrectInstanceState", "IncorrectInstanceState"),
        ("running", "", "", ""),
        ("stopping", "IncorrectInstanceState", "", "IncorrectInstanceState"),
        ("stopped", "", "", "IncorrectInstanceState"),
        ("shutting-down", "IncorrectInstanceState", "IncorrectInstanceState", "IncorrectInstanceState"),
        ("terminated", "IncorrectInstanceState", "IncorrectInstanceState", "IncorrectInstanceState"),
    ],
)
def test_states(state: str, start: str, stop: str, reboot: str) -> None:
    assert code(lambda: rules.check_start(ID, state)) == start
    assert code(lambda: rules.check_stop(ID, state, one_time_spot=False)) == stop
    assert code(lambda: rules.check_reboot(ID, state)) == reboot


def test_one_time_spot_is_not_stopped() -> None:
    assert code(lambda: rules.check_stop(ID, "running", one_time_spot=True)) == "UnsupportedOperation"


def test_a_client_token_goes_with_one_request() -> None:
    tokens = rules.ClientTokens()
    assert tokens.known("token", {"ImageId": "a"}) is None
    tokens.remember("token", {"ImageId": "a"}, b"answer")
    assert tokens.known("token", {"ImageId": "a"}) == b"answer"
    assert tokens.known("another", {"ImageId": "b"}) is None
    assert code(lambda: tokens.known("token", {"ImageId": "b"})) == "IdempotentParameterMismatch"
    assert tokens.known("t" * 64, {}) is None
    for wrong in ("t" * 65, "é"):
        assert code(lambda wrong=wrong: tokens.known(wrong, {})) == "InvalidParameterValue"  # type: ignore[misc]


# --- throttling ---


def spend(throttle: Throttle, query: Query, now: float, most: int = 1000) -> int:
    """How many go through at once."""
    return next(n for n in range(most) if code(lambda: throttle.take(query, now)))


@pytest.mark.parametrize(
    ("fields", "bucket", "refill"),
    [
        ({"Action": "CreateTags"}, 100, 10),
        ({"Action": "RunInstances"}, 5, 2),
        ({"Action": "StopInstances"}, 50, 5),
        ({"Action": "TerminateInstances"}, 100, 5),
        ({"Action": "DescribeInstances"}, *UNFILTERED),
        ({"Action": "DescribeInstances", "InstanceId.1": ID}, *UNFILTERED),
        ({"Action": "DescribeInstances", "Filter.1.Name": "tag-key"}, *FILTERED),
        ({"Action": "DescribeInstances", "MaxResults": "100"}, *FILTERED),
        ({"Action": "ModifyInstanceAttribute"}, *MUTATING),
    ],
)
def test_a_bucket_per_action(fields: dict[str, str], bucket: int, refill: int) -> None:
    throttle, query = Throttle(), Query(fields)
    assert spend(throttle, query, 0.0) == bucket
    assert spend(throttle, query, 1.0) == refill
    assert spend(throttle, query, 1000.0) == bucket, "it never holds more"
    assert spend(throttle, Query({"Action": "DeleteTags"}), 0.0) == 100, "another action's is its own"


def test_a_bucket_of_ones_own_and_back() -> None:
    throttle, query = Throttle(), Query({"Action": "CreateTags"})
    throttle.set("CreateTags", 2, 0)
    assert spend(throttle, query, 0.0) == 2
    assert spend(throttle, query, 1e6) == 0
    throttle.reset()
    assert spend(throttle, query, 0.0) == 100
