"""The tag slots: whatever lands when, a reader is never shown less than what was once sure, and the last state in the end.

`python -m tests.models.test_tags [NAME]` prints the counterexample of each simpler rule.
"""

from __future__ import annotations

import sys

import pytest

from .tags import Rules, explored

SAFE = {
    "a call is late and an agent crashes": Rules(),
    "an agent crashes and the next one has lost the journal": Rules(loses_journal=True, late=0),
    "two calls are late": Rules(late=2, crashes=0),
}

SIMPLER = {
    "one slot": Rules(two_slots=False, late=0, crashes=0),
    "the slots alternate whatever was seen": Rules(waits_for_seen=False, crashes=0),
    "a slot is believed as it is": Rules(proves=False, late=0, crashes=0),
    "what was seen once is not looked at again": Rules(looks_on=False, crashes=0),
    "the generation begins anew with each agent": Rules(remembers=False, late=0),
    "an agent without a journal does not look at its tags first": Rules(loses_journal=True, observes=False, late=0),
}


@pytest.mark.parametrize("rules", SAFE.values(), ids=SAFE)
def test_what_was_sure_stays_readable(rules: Rules) -> None:
    found = explored(rules)
    assert not found.wrong, f"\n{found}"
    assert found.states > 100


@pytest.mark.parametrize("rules", SIMPLER.values(), ids=SIMPLER)
def test_the_simpler_rule_has_a_counterexample(rules: Rules) -> None:
    found = explored(rules)
    assert found.wrong, f"{found.states} states, and nothing wrong in any"


if __name__ == "__main__":
    for name, rules in SIMPLER.items():
        if len(sys.argv) < 2 or sys.argv[1] in name:
            print(f"{name}:\n{explored(rules)}\n")
