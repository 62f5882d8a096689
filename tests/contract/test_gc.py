"""`gc.json` and the pins: round trips, golden documents, total decoders, and what is condemned."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.contract.gc import Gc, Pin, Span, decode_gc, decode_pin, encode_gc, encode_pin, spans
from runctl_agent.contract.keys import Keys, parse_pin_key, parse_snapshot, snapshot
from runctl_agent.contract.malformed import Malformed
from runctl_agent.contract.manifest import Rank

from .strategies import RELAXED, broken_json, epochs, gc_documents, json_values, near_snapshots, pins, seqs

GOLDEN = Path(__file__).parent / "golden"
GC = Gc(
    fence=3,
    condemned=(Span(1, 1, 57), Span(1, 60, 60), Span(2, 3, 9)),
    left=frozenset({"000001-00000057", "000002-00000009"}),
    nonce="5f" * 16,
)
PIN = Pin(2, 7, frozenset({"000001-00000058", "000002-00000001"}), Rank(True, 2, 500, 7), "5f" * 16)


@RELAXED
@given(gc_documents())
def test_what_is_condemned_comes_back(gc: Gc) -> None:
    assert decode_gc(encode_gc(gc)) == gc


@RELAXED
@given(pins)
def test_a_pin_comes_back(pin: Pin) -> None:
    assert decode_pin(encode_pin(pin)) == pin


@pytest.mark.parametrize(
    ("name", "decode", "encode", "value"),
    [("gc.json", decode_gc, encode_gc, GC), ("pin.json", decode_pin, encode_pin, PIN)],
)
def test_golden(name: str, decode: Callable[[bytes], Any], encode: Callable[[Any], bytes], value: object) -> None:
    body = (GOLDEN / name).read_bytes()
    assert decode(body) == value
    assert encode(decode(body)) == body


@pytest.mark.parametrize("decode", [decode_gc, decode_pin])
@RELAXED
@given(body=st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_garbage_is_malformed(decode: Callable[[bytes], object], body: bytes) -> None:
    assert isinstance(decode(body), Malformed)


@RELAXED
@given(broken_json(encode_gc(GC)), broken_json(encode_pin(PIN)))
def test_one_wrong_value_gives_a_document_or_malformed(gc: bytes, pin: bytes) -> None:
    found, other = decode_gc(gc), decode_pin(pin)
    assert isinstance(found, Malformed) or decode_gc(encode_gc(found)) == found
    assert isinstance(other, Malformed) or decode_pin(encode_pin(other)) == other


@RELAXED
@given(st.sets(near_snapshots), st.sets(near_snapshots))
def test_condemned_is_who_was_condemned_and_stays_so(first: set[str], more: set[str]) -> None:
    gc = Gc(condemned=Gc(condemned=Gc().condemning(first)).condemning(more))
    everybody = {snapshot(epoch, seq) for epoch in range(4) for seq in range(12)}
    assert {name for name in everybody if gc.condemns(name)} == first | more


def test_a_long_row_takes_one_entry() -> None:
    gc = Gc(condemned=Gc().condemning(snapshot(1, seq) for seq in range(10_000)))
    assert gc.condemned == (Span(1, 0, 9_999),)


def changed(**fields: object) -> bytes:
    return json.dumps(json.loads(encode_gc(GC)) | fields).encode()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (changed(version=2), "version: version 2 is newer than 1"),
        (changed(fence=-1), "fence: "),
        (changed(condemned=[[1, 2]]), "condemned[0]: expected a list of [epoch, first seq, last seq]"),
        (changed(condemned=[[1, 9, 2]]), "condemned[0]: 2 is below 9"),
        (changed(condemned=[[2, 1, 3], [1, 1, 3]]), "condemned: '(1, 1, 3)' does not come after"),
        (changed(condemned=[[1, 1, 3], [1, 3, 5]]), "condemned: '(1, 3, 5)' does not come after"),
        (changed(left=["000009-00000001"]), "left: 000009-00000001 is not condemned"),
        (changed(left=["../x"]), "left[0]: '../x' is not <epoch"),
    ],
)
def test_the_reason_names_the_place(body: bytes, reason: str) -> None:
    found = decode_gc(body)
    assert isinstance(found, Malformed)
    assert found.reason.startswith(reason)


@pytest.mark.parametrize("names", [["1-7"], ["000001-00000007/"], ["data/000001-00000007"], [7], "000001-00000007"])
def test_a_pin_names_checkpoints_and_nothing_else(names: object) -> None:
    assert isinstance(decode_pin(json.dumps(json.loads(encode_pin(PIN)) | {"names": names}).encode()), Malformed)


@RELAXED
@given(epochs, seqs)
def test_names_and_keys_lead_back(epoch: int, seq: int) -> None:
    keys = Keys("a/b", "gpt2")
    assert parse_snapshot(snapshot(epoch, seq)) == (epoch, seq)
    assert parse_pin_key(keys.pin(epoch, seq)) == parse_pin_key(keys.relative(keys.pin(epoch, seq))) == (epoch, seq)
    assert isinstance(parse_pin_key(keys.manifest(epoch, seq, "c")), Malformed)


def test_nothing_is_condemned_and_nobody_fenced_off_at_first() -> None:
    assert (Gc().fence, Gc().condemned, Gc().condemns("000000-00000000")) == (0, (), False)


def test_a_pin_is_named_as_its_checkpoint() -> None:
    assert PIN.snapshot == "000002-00000007"


def test_what_overlaps_is_one_row() -> None:
    assert spans([Span(1, 1, 5), Span(1, 3, 7), Span(1, 4, 6), Span(2, 8, 9)]) == (Span(1, 1, 7), Span(2, 8, 9))


@pytest.mark.parametrize("span", [[1, -1, 3], [1, 3, 2], [1, 2], [1, 2, 3, 4], [-1, 2, 3], {}])
def test_what_is_no_row_of_checkpoints_is_malformed(span: object) -> None:
    plain = json.loads(encode_gc(Gc(condemned=(Span(1, 1, 3),))))
    plain["condemned"] = [span]
    assert isinstance(decode_gc(json.dumps(plain).encode()), Malformed)


@pytest.mark.parametrize(("decode", "body"), [(decode_gc, encode_gc(GC)), (decode_pin, encode_pin(PIN))])
def test_what_a_later_version_wrote_is_malformed(decode: Callable[[bytes], object], body: bytes) -> None:
    plain = json.loads(body)
    plain["version"] += 1
    assert isinstance(decode(json.dumps(plain).encode()), Malformed)
