"""A spec to launch: a file, the options of a command laid over it, and every mistake in one answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runctl_agent.config import draft_spec
from runctl_agent.errors import ConfigError

GIVEN: dict[str, Any] = {
    "run": "gpt2",
    "destination": "s3://bucket/runs",
    "checkpoints": [{"path": "out"}],
    "training": {"command": ["python3", "train.py"]},
}


def refused(path: str, given: dict[str, Any]) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        draft_spec(path, given)
    return caught.value


def test_without_a_file() -> None:
    spec = draft_spec("", GIVEN)
    assert (spec.run, spec.workdir, spec.checkpoints[0].path) == ("gpt2", "", "out")
    assert spec.training.command == ("python3", "train.py")


def test_what_is_given_goes_over_the_file_and_mappings_are_merged(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("settle: 5s\nrun: other\ntraining:\n  grace: 9s\n  env: {A: a, B: b}\n")
    spec = draft_spec(str(file), {**GIVEN, "training": {"command": ["bash", "x.sh"], "env": {"B": "c"}}})
    assert (spec.run, spec.settle, spec.training.grace) == ("gpt2", 5.0, 9.0)
    assert spec.training.env == {"A": "a", "B": "c"}


def test_defaults_are_for_what_neither_has(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("project: mine\n")
    spec = draft_spec(str(file), GIVEN, {"project": "theirs", "run": "other", "settle": 7})
    assert (spec.project, spec.run, spec.settle) == ("mine", "gpt2", 7.0)


def test_mistakes_of_the_file_have_lines_and_those_of_the_options_none(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("setle: 5s\nrun: other\ntraining:\n  grace: soon\n  env: 3\n")
    error = refused(str(file), {**GIVEN, "run": "Foo", "training": {"env": {"A": "b"}}})
    lines = error.why.strip("\n").split("\n")
    assert [line.strip().split(": ")[0] for line in lines] == ["run", "line 1", "line 4", "line 5"]
    assert error.mend == f"correct {file} at the lines named, and run"


def test_options_alone() -> None:
    error = refused("", {**GIVEN, "run": "", "checkpoints": [{"path": "a"}, {"path": "./a"}]})
    assert "line" not in error.why
    assert "checkpoints[1].path: './a' is watched already" in error.why
    assert error.mend == "correct checkpoints[1].path, run"


@pytest.mark.parametrize("text", ["- a\n", "3\n"])
def test_a_file_that_is_no_mapping(tmp_path: Path, text: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(text)
    assert "expected a mapping of settings" in refused(str(file), GIVEN).why


def test_a_pointer_can_not_be_laid_over(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("spec: s3://bucket/run.json\n")
    assert "stands alone" in refused(str(file), GIVEN).why
