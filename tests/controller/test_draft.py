"""From options to a run spec, before anything is asked of AWS."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl.draft import (
    Asked,
    command,
    default_run,
    environment,
    looks_secret,
    not_sent,
    owner,
    script_problem,
    spec_of,
    spec_problems,
)
from runctl.launched import Launched
from runctl.tree import Root
from runctl_agent.contract.names import RUN
from runctl_agent.contract.spec import Recover, Spec, Training, Watched
from runctl_agent.errors import ConfigError, NotFoundError, UsageError
from tests.fakes.clock import FakeRuntime

SPEC = Spec("gpt2", "s3://bucket/runs", (Watched("out"),))
ROOT = Root("/home/me/gpt2", git=False)


@given(st.text(min_size=1))
def test_any_scripts_name_gives_a_name_of_a_run(name: str) -> None:
    assert RUN.fullmatch(default_run(f"folder/{name.replace('/', '')}.py", FakeRuntime()))


def test_the_default_name() -> None:
    runtime = FakeRuntime(wall=1_800_000_000.0)
    assert re.fullmatch(r"fine-tune-20270115-[0-9a-f]{4}", default_run("a/Fine_Tune.py", runtime))


def test_what_no_option_says() -> None:
    spec = spec_of(Asked("/home/me/gpt2/train.py", destination="s3://bucket/runs"), ROOT, FakeRuntime())
    assert (spec.project, spec.workdir, spec.training.user) == ("gpt2", "", "")
    assert [watched.path for watched in spec.checkpoints] == ["checkpoints"]
    assert spec.training.command == ("python3", "train.py")


def test_the_destination_that_nobody_named() -> None:
    with pytest.raises(ConfigError) as caught:
        spec_of(Asked("/home/me/gpt2/train.py"), ROOT, FakeRuntime())
    assert caught.value.mend.startswith("--destination s3://bucket/prefix, or RUNCTL_DESTINATION, or destination in runctl.yaml")


def test_commands() -> None:
    assert command("a/train.py", ["--x", "1"]) == ["python3", "a/train.py", "--x", "1"]
    assert command("run.sh", []) == ["bash", "run.sh"]


def test_variables() -> None:
    assert environment(["A=1", "B=", "C=x=y"]) == {"A": "1", "B": "", "C": "x=y"}
    with pytest.raises(UsageError):
        environment(["A"])
    names = ("HF_TOKEN", "aws_secret_access_key", "WANDB_API_KEY", "DB_PASSWORD", "BATCH_SIZE")
    spec = Spec("a", "s3://b/c", (), training=Training(env=dict.fromkeys(names, "x")))
    assert looks_secret(spec) == [*names[:-1]]


def test_scripts(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("")
    (tmp_path / "folder").mkdir()
    assert script_problem(str(tmp_path / "train.py")) is None
    near = script_problem(str(tmp_path / "trian.py"))
    assert isinstance(near, NotFoundError)
    assert near.mend == f"did you mean {tmp_path / 'train.py'}?"
    nothing_near = script_problem(str(tmp_path / "zzz"))
    assert nothing_near is not None
    assert nothing_near.mend == "name one that is there"
    assert isinstance(script_problem(str(tmp_path / "folder")), UsageError)
    assert isinstance(script_problem(str(tmp_path / "folder" / "x.py")), NotFoundError)
    assert isinstance(script_problem(str(tmp_path / "nowhere" / "x.py")), NotFoundError)


def test_a_script_that_would_not_be_sent() -> None:
    assert not_sent("/home/me/gpt2/train.py", ROOT, ["train.py"]) is None
    for git in (True, False):
        error = not_sent("/home/me/gpt2/train.py", Root(ROOT.path, git), ["other.py"])
        assert isinstance(error, ConfigError)
        assert (".gitignore" in error.mend) == git


@pytest.mark.parametrize(
    ("spec", "launched", "count"),
    [
        (SPEC, Launched("x"), 0),
        (Spec("code", "s3://bucket/runs", ()), Launched("x"), 1),
        (Spec("a", "s3://bucket/runs", (), on_finish="stop", on_failure="stop"), Launched("x", spot=True), 2),
        (Spec("a", "s3://bucket/runs", (), on_finish="terminate"), Launched("x", spot=True), 0),
        (Spec("a", "s3://bucket/runs", (), training=Training(image="pytorch")), Launched("x"), 0),
        (Spec("a", f"s3://bucket/{'x' * 300}", ()), Launched("x"), 1),
        (Spec("a", "s3://bucket/runs", (), recover=Recover(group="mine")), Launched("x"), 1),
    ],
)
def test_valid_specs_that_can_not_be_launched(spec: Spec, launched: Launched, count: int) -> None:
    assert len(spec_problems(spec, launched)) == count


def test_the_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNCTL_OWNER", "a\x1b\nb")
    assert owner() == "ab"
    monkeypatch.delenv("RUNCTL_OWNER")
    monkeypatch.setenv("LOGNAME", "me")
    assert owner() == "me"
