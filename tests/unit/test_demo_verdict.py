"""The demo's verdict: true only where all is, and what is not is named."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO, TextIOWrapper

import pytest

from runctl_simulator.demo.screen import GREEN, Screen
from runctl_simulator.demo.verdict import Facts, Interruption, verdict

KEYS = ("manifests/000001-00000001-a.json", "manifests/000002-00000001-b.json")
NOTICED = Interruption(reached=47, newest=47, resumed_at=47)
LOST = Interruption(reached=81, newest=70, resumed_at=70)
TRUE = Facts(
    seen=KEYS,
    listed=KEYS,
    unreadable=(),
    missing=(),
    noticed=NOTICED,
    lost=LOST,
    pulled="model_step_160.safetensors",
    last="model_step_160.safetensors",
    pulled_digest="aa",
    uninterrupted_digest="aa",
)


def test_all_of_it_is_true() -> None:
    assert all(check.true for check in verdict(TRUE))
    assert any("identical" in check.text for check in verdict(TRUE))


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (replace(TRUE, pulled_digest="bb"), "differ"),
        (replace(TRUE, pulled="model_step_150.safetensors"), "but a finished training ends with"),
        (replace(TRUE, noticed=Interruption(47, 40, 40)), "the notice cost 7 steps"),
        (replace(TRUE, noticed=replace(NOTICED, resumed_at=40)), "the second machine went on from step 40"),
        (replace(TRUE, lost=replace(LOST, resumed_at=60)), "went on from step 60, but the newest commit was of step 70"),
        (replace(TRUE, lost=replace(LOST, resumed_at=None)), "the third machine began anew"),
        (replace(TRUE, missing=("data/000001-00000001/a is missing",)), "without its data: data/000001-00000001/a is missing"),
        (replace(TRUE, unreadable=KEYS[1:]), f"{KEYS[1]} can't be read"),
        (replace(TRUE, listed=KEYS[1:]), f"{KEYS[0]} has vanished"),
        (replace(TRUE, seen=KEYS[:1]), f"{KEYS[1]} was not seen"),
    ],
)
def test_one_thing_that_is_not(facts: Facts, said: str) -> None:
    (wrong,) = [check for check in verdict(facts) if not check.true]
    assert said in wrong.text


def test_nothing_was_committed() -> None:
    wrong = [check.text for check in verdict(replace(TRUE, seen=(), listed=())) if not check.true]
    assert wrong == ["nothing was committed"]


class _Terminal(TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("terminal", "encoding", "mark"), [(False, "utf-8", "✓"), (False, "ascii", "ok"), (True, "utf-8", "✓")])
def test_a_log_has_no_colours(terminal: bool, encoding: str, mark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    written = BytesIO()
    out = (_Terminal if terminal else TextIOWrapper)(written, encoding=encoding)
    Screen(out).check("whole", true=True)
    said = written.getvalue().decode(encoding)
    assert f"{mark} whole" in said
    assert (GREEN in said) == terminal
    assert said.endswith("\n")
