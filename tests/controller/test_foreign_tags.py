"""Tags written by somebody else: the agent takes orders only in the form that the controller gives them, and the controller is
told nothing by tags that don't prove themselves."""

from __future__ import annotations

import json

import pytest

from runctl_agent.contract import tags, want
from runctl_agent.contract.malformed import Malformed
from runctl_agent.contract.phases import Phase
from tests.controller.stage import Stage
from tests.fakes.agent_state import state

HUGE = "H4sI" + "A" * 252


@pytest.mark.parametrize(
    "forged",
    [
        {"runctl:phase": "finished", "runctl:exit": "0", "runctl:summary": "\u202ellew si lla"},
        {"runctl:state": "a:99999999999999999999:6", **{f"runctl:a.{n}": HUGE for n in range(6)}},
        {"runctl:state": "c:1:1", "runctl:a.0": "x"},
        {f"runctl:{slot}.{n}": "\u202e" * 200 for slot in "ab" for n in range(6)},
        {"runctl:heartbeat": "9999-12-31T23:59:59Z", "runctl:step": "-1"},
    ],
)
def test_a_forged_state_is_no_state(stage: Stage, forged: dict[str, str]) -> None:
    """`wait` and `status` believe only a document that is whole, and of this life of this instance."""
    instance = stage.launch()
    stage.tag(instance, forged)
    shown = stage.json("status", stage.run)
    assert shown["state"] is None
    assert not shown["current"]
    text = stage.command("status", stage.run).stdout
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "prove nothing" in text or "not reported" in text


def test_a_state_of_another_instance_is_not_this_ones(stage: Stage) -> None:
    """Copied from one that has finished."""
    instance = stage.launch()
    other = state(1, Phase.FINISHED, instance="i-00000000000000001")
    stage.tag(instance, tags.encode(other, "a", 1_800_000_000))
    shown = stage.json("status", stage.run)
    assert shown["state"] is None or not shown["current"]


@pytest.mark.parametrize(
    "text", ["", "stop", "reboot", "stop;rm -rf /", "{}", "\0", "stop 5f5f", "x" * 256, json.dumps({"ask": "terminate"})]
)
def test_an_order_that_is_none_is_refused(text: str) -> None:
    assert isinstance(want.decode_want(text), Malformed)
