"""What Prometheus' promtool says of the textfile and of the alert rules."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from runctl_agent.metrics import exposition
from tests.contract.test_status import EXAMPLE
from tests.metrics.tools import tool
from tests.unit.test_metrics import BARE
from tests.unit.test_metrics_files import RULES, rules

MOMENTS = Path(__file__).with_name("runctl.test.yml")


def promtool(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [tool("promtool"), *arguments]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("text", [exposition(EXAMPLE), exposition(replace(EXAMPLE, exit_code=1)), exposition(BARE)])
def test_the_metrics_are_well_named_and_well_formed(text: str) -> None:
    done = promtool("check", "metrics", given=text)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_it_would_say_if_they_were_not() -> None:
    assert promtool("check", "metrics", given="runctl_lag_seconds{run=} 1\n").returncode != 0


def test_the_rules_are_well_formed() -> None:
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", str(RULES))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules())} rules found" in done.stdout


def test_each_alert_fires_in_its_moment() -> None:
    done = promtool("test", "rules", str(MOMENTS))
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_moment_at_which_it_fires_and_one_at_which_it_does_not() -> None:
    fires: set[str] = set()
    silent: set[str] = set()
    for test in yaml.safe_load(MOMENTS.read_text())["tests"]:
        for asked in test["alert_rule_test"]:
            (fires if asked.get("exp_alerts") else silent).add(asked["alertname"])
    assert fires == silent == {rule["alert"] for rule in rules()}
