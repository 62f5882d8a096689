"""Any text gives a spec or a ConfigError, never anything else."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.config import parse_document, parse_spec
from runctl_agent.contract.spec import Spec, encode_spec
from runctl_agent.errors import ConfigError
from tests.contract.strategies import RELAXED, json_values, specs
from tests.unit.test_config import LEAST, WHOLE

PIECES = [
    *LEAST.splitlines(),
    *WHOLE.splitlines(),
    "- ",
    "? ",
    ": ",
    "&a",
    "*a",
    "<<: ",
    "!!int ",
    "!!binary ",
    "!!set ",
    "!!bool x",
]
PIECES += [
    "!!float",
    "!!timestamp x",
    "0b",
    "0x_",
    "._",
    "1:2:3",
    "2026-99-99",
    "=",
    "|",
    ">-",
    '"\\UFFFFFFFF"',
    '"\\ud800"',
    "%YAML 1.1",
    "---",
]
PIECES += ["{", "}", "[", "]", ",", "\n", "  ", "\t", "'", '"', "#", "~", "\ud800", "\0", "9" * 5000, "training: ", "env: "]
soup = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=12).flatmap(
    lambda pieces: st.sampled_from(["".join(pieces), " ".join(pieces), "\n".join(pieces)])
)


def checked(text: str) -> None:
    refusal: ConfigError | None = None
    try:
        parse_document(text, source="run.yaml", folder="/f")
    except ConfigError as error:
        refusal = error
    if refusal:
        assert "run.yaml has" in refusal.what
        assert "\n  line " in refusal.why
        assert refusal.mend


@RELAXED
@given(st.text() | soup)
def test_any_text(text: str) -> None:
    checked(text)
    checked(LEAST + text)


@RELAXED
@given(st.sampled_from(WHOLE.splitlines()), st.sampled_from(PIECES), st.integers(0, 60))
def test_a_whole_spec_with_one_line_spoilt(line: str, piece: str, at: int) -> None:
    checked(WHOLE.replace(line, line[:at] + piece + line[at:], 1))
    checked(WHOLE.replace(line, line[:at], 1))


@RELAXED
@given(json_values)
def test_any_json_value(value: object) -> None:
    with pytest.raises(ConfigError):
        parse_spec(json.dumps(value), source="run.yaml", folder="/f")


@RELAXED
@given(specs)
def test_a_spec_written_as_yaml_comes_back(spec: Spec) -> None:
    again = parse_spec(yaml.safe_dump(encode_spec(spec), allow_unicode=False), source="run.yaml", folder="/f")
    assert again.training == spec.training
    assert (again.run, again.settle, again.staging, again.limits) == (spec.run, spec.settle, spec.staging, spec.limits)
    assert parse_spec(yaml.safe_dump(encode_spec(again)), source="run.yaml", folder="/elsewhere") == again
