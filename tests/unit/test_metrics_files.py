"""The alert rules and the dashboard ask for nothing but what the agent writes; `make metrics` has Prometheus check the rules."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grafana_foundation_sdk.cog.plugins as grafana_plugins
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client.parser import text_string_to_metric_families as parsed

from runctl_agent.contract.phases import ConditionName, Phase
from runctl_agent.metrics import FAMILIES, exposition
from tests.contract.test_status import EXAMPLE

DOCS = Path(__file__).parents[2] / "docs"
RULES = DOCS / "metrics" / "runctl.rules.yml"
DASHBOARD = DOCS / "metrics" / "dashboard.json"

WRITTEN = {family.name for family in FAMILIES}
LABELS = {label for family in parsed(exposition(EXAMPLE)) for sample in family.samples for label in sample.labels}
OF_THE_SCRAPE = {"instance", "job"}
"""Labels that Prometheus itself adds."""

SEVERITIES = {"critical", "warning"}


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def expressions(value: object) -> Iterator[str]:
    """Every expression of the dashboard, and the query of its variable."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in {"expr", "query"} and isinstance(inner, str) and inner != "prometheus":
                yield inner
            else:
                yield from expressions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from expressions(inner)


def names(expression: str) -> set[str]:
    return set(re.findall(r"runctl_\w+", expression))


def asked(expression: str, label: str) -> set[str]:
    return set(re.findall(rf'{label}="([^"]+)"', expression))


def test_every_rule_asks_for_what_is_written() -> None:
    for rule in rules():
        assert names(rule["expr"]), rule
        assert names(rule["expr"]) <= WRITTEN
        assert asked(rule["expr"], "condition") <= {name.value for name in ConditionName}
        assert asked(rule["expr"], "phase") <= {phase.value for phase in Phase}


def test_every_rule_says_what_is_the_matter_and_for_whom() -> None:
    assert len({rule["alert"] for rule in rules()}) == len(rules())
    for rule in rules():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["alert"].startswith("Runctl")
        assert rule["labels"]["severity"] in SEVERITIES
        assert set(rule["annotations"]) == {"summary", "description"}
        text = " ".join(rule["annotations"].values())
        assert set(re.findall(r"\$labels\.(\w+)", text)) <= LABELS | OF_THE_SCRAPE


def test_every_condition_of_harm_has_its_alert() -> None:
    """`Idle` costs money, no work, and has a limit of its own; `Incomplete` is over when it is said."""
    alerted = set[str]().union(*(asked(rule["expr"], "condition") for rule in rules()))
    assert alerted == {name.value for name in ConditionName} - {"Idle", "Incomplete"}


def test_the_dashboard_asks_for_what_is_written() -> None:
    found = list(expressions(json.loads(DASHBOARD.read_text())))
    assert len(found) > 20
    for expression in found:
        assert names(expression), expression
        assert names(expression) <= WRITTEN
    labels = set(re.findall(r"\{\{(\w+)\}\}", DASHBOARD.read_text()))
    assert labels <= LABELS


def test_the_dashboard_is_one_of_grafanas() -> None:
    """Read into the types that Grafana generates of its schemas, and written again: a key that they don't know would be gone."""
    grafana_plugins.register_default_plugins()
    plain = json.loads(DASHBOARD.read_text())
    back = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(plain)))
    assert not list(lost(plain, back, "dashboard"))


def lost(value: Any, back: Any, path: str) -> Iterator[str]:
    """What stands in `value` and not, or not so, in `back`; defaults that were added are none of it."""
    if isinstance(value, dict) and isinstance(back, dict):
        for key, inner in value.items():
            yield from lost(inner, back.get(key), f"{path}.{key}")
    elif isinstance(value, list) and isinstance(back, list) and len(value) == len(back):
        for place, (inner, other) in enumerate(zip(value, back, strict=True)):
            yield from lost(inner, other, f"{path}[{place}]")
    elif value != back:
        yield path


def test_what_grafana_does_not_know_is_seen() -> None:
    grafana_plugins.register_default_plugins()
    plain = json.loads(DASHBOARD.read_text())
    plain["panels"][0]["fieldConfig"]["defaults"]["colour"] = "blue"
    back = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(plain)))
    assert list(lost(plain, back, "dashboard")) == ["dashboard.panels[0].fieldConfig.defaults.colour"]


def test_no_panel_lies_on_another() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken
        taken |= cells
