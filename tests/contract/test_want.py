"""`runctl:want`: what the controller asks for."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.contract.malformed import Malformed
from runctl_agent.contract.tags import Verb, Want, decode_want, encode_want

from .strategies import RELAXED, json_values, nonces, times

GOLDEN = '{"launch_time":1795456000,"nonce":"5f5f","verb":"stop"}'


@RELAXED
@given(st.builds(Want, st.sampled_from(Verb), nonces.filter(bool), times))
def test_a_want_comes_back_and_fits_a_tag(want: Want) -> None:
    text = encode_want(want)
    assert len(text) <= 256
    assert decode_want(text) == want


def test_golden() -> None:
    assert decode_want(GOLDEN) == Want(Verb.STOP, "5f5f", 1_795_456_000)
    assert encode_want(Want(Verb.STOP, "5f5f", 1_795_456_000)) == GOLDEN


@pytest.mark.parametrize("written", ["2026-11-23T17:46:40Z", "2026-11-23T17:46:40.000Z", "2026-11-23T18:46:40+01:00"])
def test_the_launch_time_may_stand_as_describe_instances_writes_it(written: str) -> None:
    given = json.dumps({"verb": "flush", "nonce": "n", "launch_time": written})
    assert decode_want(given) == Want(Verb.FLUSH, "n", 1_795_456_000)


@RELAXED
@given(st.text() | json_values.map(json.dumps))
def test_garbage_is_malformed(text: str) -> None:
    assert isinstance(decode_want(text), Malformed)


@pytest.mark.parametrize(
    "fields",
    [
        {"verb": "terminate"},
        {"nonce": ""},
        {"nonce": "a b"},
        {"launch_time": "soon"},
        {"launch_time": "2026-11-23T18:00:00"},
        {"x": "y" * 300},
    ],
)
def test_what_nobody_asks_is_malformed(fields: dict[str, object]) -> None:
    assert isinstance(decode_want(json.dumps(json.loads(GOLDEN) | fields)), Malformed)
