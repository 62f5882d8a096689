"""The run spec as a plain mapping, and `run.json`."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.contract.malformed import Malformed
from runctl_agent.contract.spec import Spec, Watched, check_spec, decode_run, decode_spec, encode_run, encode_spec
from runctl_agent.contract.units import duration, rate, share, size

from .strategies import RELAXED, broken_json, json_values, specs

GOLDEN = Path(__file__).parent / "golden" / "run.json"
EXAMPLE = Spec(
    run="gpt2-20261123-7f3a", destination="s3://bucket/prefix", checkpoints=(Watched("/home/ubuntu/gpt2/checkpoints"),)
)


@RELAXED
@given(specs)
def test_a_spec_comes_back(spec: Spec) -> None:
    assert decode_spec(encode_spec(spec)) == spec
    assert decode_run(encode_run(spec)) == spec


def test_golden() -> None:
    body = GOLDEN.read_bytes()
    assert decode_run(body) == EXAMPLE
    assert encode_run(EXAMPLE) == body


@RELAXED
@given(json_values)
def test_garbage_is_malformed(value: object) -> None:
    assert isinstance(decode_spec(value), Malformed)


@RELAXED
@given(st.binary() | broken_json(encode_run(EXAMPLE)))
def test_any_bytes_give_a_spec_or_malformed(body: bytes) -> None:
    found = decode_run(body)
    if isinstance(found, Spec):
        assert decode_run(encode_run(found)) == found


def test_every_field_is_a_known_setting() -> None:
    plain = encode_spec(EXAMPLE)
    assert check_spec(plain) == (EXAMPLE, [])
    for f in fields(Spec):
        if is_dataclass(inner := getattr(EXAMPLE, f.name)):
            assert set(plain[f.name]) == {g.name for g in fields(inner)}  # type: ignore[call-overload]


def test_settings_of_a_later_version_are_ignored_in_the_contract() -> None:
    assert decode_spec(encode_spec(EXAMPLE) | {"colour": "blue"}) == EXAMPLE


def test_the_reason_has_every_mistake() -> None:
    found = decode_spec({"run": "UP", "checkpoints": [], "settle": -1})
    assert isinstance(found, Malformed)
    for part in ("run: ", "destination: missing", "checkpoints: expected a list", "settle: expected a duration"):
        assert part in found.reason


def test_an_impossible_spec_is_not_written() -> None:
    with pytest.raises(ValueError, match="run: "):
        encode_run(Spec(run="../up", destination="s3://bucket", checkpoints=(Watched("/c"),)))


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (0, 0),
        (2, 2),
        (0.5, 0.5),
        ("0s", 0),
        ("500ms", 0.5),
        ("2s", 2),
        ("30m", 1800),
        ("1h30m", 5400),
        ("1h 30min", 5400),
        ("1.5d", 129_600),
    ],
)
def test_durations(written: object, seconds: float) -> None:
    assert duration(written) == seconds


@pytest.mark.parametrize(
    "written", ["", "s", "2", "2 weeks", "-1s", -1, True, None, float("nan"), float("inf"), "1e9s", "9" * 400 + "s", []]
)
def test_what_is_no_duration(written: object) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        duration(written)


@pytest.mark.parametrize(
    ("written", "count"),
    [(0, 0), ("200MB", 200_000_000), ("8MiB", 8_388_608), ("1kB", 1000), ("1 KiB", 1024), ("1.5GB", 1_500_000_000), ("7B", 7)],
)
def test_sizes(written: object, count: int) -> None:
    assert size(written) == count
    assert rate(written) == count


def test_rates_are_per_second() -> None:
    assert rate("200MB/s") == 200_000_000
    with pytest.raises(ValueError, match="expected a size"):
        size("200MB/s")


@pytest.mark.parametrize("written", ["", "5", "5Mb", "5 bytes", -1, True, None, "9" * 400 + "MB", "1e3B"])
def test_what_is_no_size(written: object) -> None:
    with pytest.raises(ValueError, match="expected a size"):
        size(written)


@pytest.mark.parametrize(("written", "kept"), [("10%", 0.1), ("0%", 0.0), (0.25, 0.25), ("50GiB", 50 * 2**30), (1e9, 1e9)])
def test_shares(written: object, kept: float) -> None:
    assert share(written) == kept


@pytest.mark.parametrize("written", ["100%", "-1%", "ten", -0.1, True, None])
def test_what_is_no_share(written: object) -> None:
    with pytest.raises(ValueError, match="expected a percentage"):
        share(written)
