"""Epoch, seal and rank: one holder of an epoch, `latest` never back, no zombie and no old disk before a newer run.

`python -m tests.models.test_fencing [NAME]` prints the counterexample of each simpler rule.
"""

from __future__ import annotations

import sys

import pytest

from .fencing import Rules, explored

SAFE = {
    "a zombie beside a new instance; a write is late and somebody crashes": Rules(agents="ZN"),
    "a new instance beside an old disk; a write is late and somebody crashes": Rules(agents="NM"),
    "all three; a write is late": Rules(crashes=0),
    "all three; somebody crashes": Rules(late=0),
    "a copy of the zombie's disk": Rules(agents="ZC"),
    "a disk goes on from an epoch that committed nothing; a write is late and somebody crashes": Rules(agents="RS"),
    "a disk goes on from an epoch that committed nothing, beside a new instance": Rules(agents="RSN", late=0, crashes=0),
}

LISTS_FIRST = ("read epoch", "take", "list", "read latest", "seal", "commit", "look", "point")
POINTS_FIRST = ("read epoch", "take", "read latest", "list", "seal", "look", "point", "commit")

SIMPLER = {
    "epoch.json is written without a condition": Rules(swaps_epoch=False, agents="NM", late=0, crashes=0),
    "an answer that is lost passes for a success": Rules(reads_back=False, agents="NM", crashes=0),
    "a journal is believed in another instance too": Rules(checks_instance=False, agents="ZC", late=0, crashes=0),
    "whoever finds another's epoch takes the run back": Rules(keeps_overtaken=False, agents="ZN", late=0),
    "latest is written without a condition": Rules(swaps_latest=False, agents="ZN", late=0, crashes=0),
    "the seal lists before it reads latest, which is no candidate": Rules(
        steps=LISTS_FIRST, keeps_named=False, agents="ZN", late=0, crashes=0
    ),
    "the seal leaves the fence as it is": Rules(seals_fence=False, agents="ZN", late=0, crashes=0),
    "the fence is not asked": Rules(asks_fence=False, agents="ZN", late=0, crashes=0),
    "who commits last is the newest": Rules(asks_rank=False, agents="ZNM", late=0, crashes=0),
    "latest moves before the manifest stands": Rules(steps=POINTS_FIRST, agents="ZN", late=0, crashes=0),
    "the rank is the step": Rules(ranks_epoch=False, agents="ZN", late=0, crashes=0),
    "what lay on the disk ranks in the new epoch": Rules(ranks_backlog=False, agents="NM", late=0, crashes=0),
    "what lay on the disk ranks with what latest names, whoever that is of": Rules(
        own_backlog=False, caps_backlog=False, agents="NM", late=0, crashes=0
    ),
    "what lay on the disk ranks with what latest names, and in the epoch that it held at most": Rules(
        own_backlog=False, agents="RS", late=0, crashes=0
    ),
    "what lay on the disk is ranked again by the agent after a crash": Rules(keeps_backlog=False, agents="NM", late=0),
}


@pytest.mark.parametrize("rules", SAFE.values(), ids=SAFE)
def test_one_run_has_one_newest(rules: Rules) -> None:
    found = explored(rules)
    assert not found.wrong, f"\n{found}"
    assert found.states > 300


@pytest.mark.parametrize("rules", SIMPLER.values(), ids=SIMPLER)
def test_the_simpler_rule_has_a_counterexample(rules: Rules) -> None:
    found = explored(rules)
    assert found.wrong, f"{found.states} states, and nothing wrong in any"


if __name__ == "__main__":
    for name, rules in SIMPLER.items():
        if len(sys.argv) < 2 or sys.argv[1] in name:
            print(f"{name}:\n{explored(rules)}\n")
