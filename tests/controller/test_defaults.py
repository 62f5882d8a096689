"""runctl.yaml: what it may say, what it is told of mistakes, and that option, environment and file go in that order."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from runctl import defaults, starting
from runctl.defaults import FILE, SETTINGS
from runctl_agent.errors import ConfigError, UsageError, WrongStateError
from tests.controller.stage import RUNCTL

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RUNCTL_"))}


def run(folder: Path, *arguments: str, code: int = 0, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    whole = {**CLEAN, "AWS_CONFIG_FILE": os.devnull, "AWS_EC2_METADATA_DISABLED": "true", **(env or {})}
    done = subprocess.run([RUNCTL, *arguments], cwd=folder, env=whole, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def settled(folder: Path, **env: str) -> dict[str, Any]:
    found = json.loads(run(folder, "config", "--json", env=env).stdout)
    return {one["key"]: (one["value"], one["origin"], one["where"]) for one in found["settings"]}


def test_what_init_writes_is_read_back_and_every_setting_in_it_is_explained(tmp_path: Path) -> None:
    given = ("--destination", "s3://my-bucket/runs", "--instance-type", "g5.xlarge,g6.xlarge", "--spot", "--region", "eu-west-1")
    run(tmp_path, "init", *given)
    text = (tmp_path / FILE).read_text()
    assert max(map(len, text.splitlines())) <= 80
    found = defaults.load(str(tmp_path / FILE))
    assert found.values == {
        "region": "eu-west-1",
        "destination": "s3://my-bucket/runs",
        "instance_type": "g5.xlarge,g6.xlarge",
        "spot": True,
    }
    for one in SETTINGS:
        assert one.about in text
        assert f"{one.key}: " in text


def test_the_comments_of_init_are_settings_that_hold(tmp_path: Path) -> None:
    """With the # before them taken away."""
    lines = [line.removeprefix("#") for line in starting.text({}).splitlines() if not line.startswith("# ")]
    (tmp_path / FILE).write_text("\n".join(lines))
    assert {*defaults.load(str(tmp_path / FILE)).values} == {one.key for one in SETTINGS}


def test_a_file_of_comments_alone_says_nothing(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(starting.text({}))
    assert defaults.load(str(tmp_path / FILE)).values == {}
    assert yaml.safe_load((tmp_path / FILE).read_text()) is None


def test_init_overwrites_only_when_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / FILE).write_text("project: mine\n")
    with pytest.raises(WrongStateError) as caught:
        starting.write({"project": "theirs"}, force=False)
    assert "--force" in caught.value.mend
    assert (tmp_path / FILE).read_text() == "project: mine\n"
    starting.write({"project": "theirs"}, force=True)
    assert defaults.nearest().values == {"project": "theirs"}
    assert os.listdir(tmp_path) == [FILE]


def test_init_writes_nothing_that_could_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="--destination"):
        starting.write({"destination": "nowhere"}, force=False)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("value", ["yes", "a: b", "#1", "null", "1.5", "é"])
def test_any_text_stands_in_the_file_as_it_was_given(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    starting.write({"project": value}, force=False)
    assert defaults.nearest().values == {"project": value}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("regoin: us-east-1\n", "line 1: regoin: unknown key; the nearest is `region`"),
        ("\nspot: maybe\n", "line 2: spot: expected true or false, not 'maybe'"),
        ("disk: lots\n", "line 1: disk: expected a whole number, not 'lots'"),
        ("training: {}\n", "line 1: training: unknown key here: it is one of the run spec"),
        ("instance_type: [g5.xlarge, big]\n", "line 1: instance_type[1]: 'big' is not an instance type such as g5.xlarge"),
        ("destination: bucket\n", "line 1: destination: "),
        ("spot: true\nspot: false\n", "line 1: spot: stands twice: in line 1, and again in line 2"),
        ("- a\n", "line 1: expected a mapping of settings, not a list"),
        ("a: [\n", "not YAML"),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ConfigError) as caught:
        defaults.load(str(tmp_path / FILE))
    assert told in caught.value.full
    assert FILE in caught.value.what
    assert not any(line.endswith(" ") for line in caught.value.full.split("\n"))


def test_every_mistake_at_once(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("regoin: x\nspot: 1\ndisk: 20\n")
    told = run(tmp_path, "list", code=3).stderr
    assert "runctl.yaml has 2 mistakes:\n  line 1: regoin" in told
    assert "\n  line 2: spot" in told
    run(tmp_path, "launch", "--help")


def test_option_environment_file_default(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("project: file\nspot: true\nregion: eu-west-1\n")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    found = settled(below, RUNCTL_PROJECT="environment")
    assert found["project"] == ("environment", "environment", "RUNCTL_PROJECT")
    assert found["spot"] == (True, "file", "runctl.yaml line 2")
    assert found["recover"] == (False, "default", "")
    assert found["region"] == ("eu-west-1", "file", "runctl.yaml line 3")
    assert settled(below, AWS_REGION="us-west-2")["region"] == ("us-west-2", "environment", "AWS_REGION")
    (below / FILE).write_text("project: nearer\n")
    assert settled(below)["project"] == ("nearer", "file", "runctl.yaml line 1")
    text = run(below, "config").stdout
    assert text.endswith(f"{below / FILE}\n")


def test_anothers_file_where_everybody_may_write_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / FILE).write_text("destination: s3://theirs/runs\n")
    if os.geteuid() == 0:
        os.chown(tmp_path / FILE, 12345, 12345)
    else:
        me = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: me + 1)
    defaults.load(str(tmp_path / FILE))
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match="is not believed"):
        defaults.load(str(tmp_path / FILE))
