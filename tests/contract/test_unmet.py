"""What this version does not do is said, setting by setting."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runctl_agent.contract.spec import Spec, Watched
from runctl_agent.contract.unmet import unmet

PLAIN = Spec("gpt2", "s3://bucket/runs", (Watched("/w"),))


def test_a_plain_spec_asks_for_nothing_that_is_not_done() -> None:
    assert unmet(PLAIN) == ()


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (replace(PLAIN, isolate_credentials=True), "isolate_credentials"),
    ],
)
def test_each_setting_is_said(spec: Spec, said: str) -> None:
    (sentence,) = unmet(spec)
    assert sentence.startswith(said)
    assert "this version" in sentence
