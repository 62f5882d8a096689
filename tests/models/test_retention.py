"""Retention beside references: nothing dangles, `latest` leads to a checkpoint; and each part of the rule is needed.

`python -m tests.models.test_retention [NAME]` prints the counterexample of each simpler rule.
"""

from __future__ import annotations

import sys

import pytest

from runctl_agent.store.retain import ORDER, Step

from .retention import Rules, explored

CONDEMN, MANIFESTS, PINS, NAMED, DATA, UNPIN = ORDER

SAFE = {
    "a zombie commits; a write is late and somebody crashes": Rules(writers=("Z",)),
    "the agent commits; a write is late and somebody crashes": Rules(writers=("Y",)),
    "both commit; somebody crashes": Rules(late=0),
    "both commit, knowing A's data from B; a write is late": Rules(chain=True, crashes=0),
    "a zombie commits, another prunes; somebody crashes": Rules(writers=("Z",), pruners=(1, 2), late=0),
    "a zombie commits, two prune in one epoch; somebody crashes": Rules(writers=("Z",), pruners=(2, 2), late=0),
    "a zombie commits, finding one or the other to name; a write is late": Rules(writers=("Z",), names="ab"),
    "nobody reads gc.json, and nothing is late": Rules(writers=("Y",), late=0, manifests_prove=True),
}

SIMPLER = {
    "no pin": Rules(writers=("Z",), writer=("gc", "manifest"), late=0, crashes=0),
    "the pin after gc.json was read": Rules(writers=("Z",), writer=("gc", "pin", "manifest"), late=0, crashes=0),
    "the pin after the manifest": Rules(writers=("Z",), writer=("gc", "manifest", "pin"), late=0, crashes=0),
    "gc.json is not read": Rules(writers=("Z",), asks=False, late=0, crashes=0),
    "pins are replaced by what a later try names": Rules(writers=("Z",), pins_grow=False, crashes=0),
    "pins are written without a condition": Rules(writers=("Z",), names="ab", swaps_pins=False, crashes=0),
    "pins go before their checkpoint is committed": Rules(writers=("Z",), keeps_pins=False, late=0, crashes=0),
    "both lists before the condemning": Rules(order=(PINS, NAMED, CONDEMN, MANIFESTS, DATA, UNPIN), writers=("Z",), late=0),
    "pins listed before the condemning": Rules(order=(PINS, CONDEMN, MANIFESTS, NAMED, DATA, UNPIN), writers=("Z",), late=0),
    "manifests listed before the condemning": Rules(
        order=(NAMED, CONDEMN, MANIFESTS, PINS, DATA, UNPIN), writers=("Z",), pruners=(2, 2), late=0, crashes=0
    ),
    "manifests listed before the pins": Rules(
        order=(CONDEMN, MANIFESTS, NAMED, PINS, DATA, UNPIN), writers=("Z",), pruners=(2, 2), late=0, crashes=0
    ),
    "data deleted before it is condemned": Rules(order=(PINS, NAMED, DATA, CONDEMN, MANIFESTS, UNPIN), writers=("Z",), late=0),
    "data deleted before the manifests": Rules(
        order=(CONDEMN, PINS, NAMED, DATA, MANIFESTS, UNPIN), writers=("Y",), late=0, manifests_prove=True
    ),
    "entries of gc.json go with what they condemn": Rules(for_ever=False, late=0, crashes=0),
    "gc.json is written without a condition": Rules(swaps_gc=False, pruners=(2, 2), late=0, crashes=0),
    "readers list the condemned too": Rules(readers_ask=False, late=0, crashes=0),
    "what latest names may be doomed": Rules(keeps_latest=False, writers=("Z",), late=0, crashes=0),
    "epoch.json is asked, and gc.json has no fence": Rules(fence=False, pruners=(1, 2), writers=("Z",), late=0, crashes=0),
}


@pytest.mark.parametrize("rules", SAFE.values(), ids=SAFE)
def test_nothing_dangles(rules: Rules) -> None:
    found = explored(rules)
    assert not found.wrong, f"\n{found}"
    assert found.states > 300


@pytest.mark.parametrize("rules", SIMPLER.values(), ids=SIMPLER)
def test_the_simpler_rule_has_a_counterexample(rules: Rules) -> None:
    found = explored(rules)
    assert found.wrong, f"{found.states} states, and nothing wrong in any"


def test_the_order_of_the_model_is_that_of_the_code() -> None:
    assert Rules().order == ORDER == tuple(Step)


if __name__ == "__main__":
    for name, rules in SIMPLER.items():
        if len(sys.argv) < 2 or sys.argv[1] in name:
            print(f"{name}:\n{explored(rules)}\n")
