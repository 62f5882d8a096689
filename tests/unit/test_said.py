"""Step, of how many, epoch and loss, as trainers print them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.training.said import Said, said


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("{'loss': 2.5, 'grad_norm': 1.0, 'learning_rate': 5e-05, 'epoch': 0.5}", Said(None, 0.5, 2.5)),
        ('{"train_loss": 1.25e-2, "global_step": 700}', Said(700, None, 0.0125)),
        ("step 120 loss 3.1", Said(120, None, 3.1)),
        ("step 4500: train loss 2.9832, val loss 3.0121", Said(4500, None, 2.9832)),
        ("Epoch 3:  45%|####5     | 45/100 [00:10<00:12, 4.4it/s, loss=0.5]", Said(45, 3.0, 0.5, steps=100)),
        ("iter 10: loss 4.2, time 100ms", Said(10, None, 4.2)),
        ("Epoch [2/10], Step [100/600], Loss: 0.1", Said(100, 2.0, 0.1, steps=600)),
        ("{'eval_loss': 1.5, 'eval_runtime': 3.2, 'epoch': 1.0}", Said(None, 1.0, None)),
        ("step 7 val_loss=0.9 best loss 0.8", Said(7, None, None)),
        ("iteration 8: kl_loss 0.5, policy_loss 0.25", Said(8, None, 0.25)),
        ("train/loss: 1.5 global-step: 9.", Said(9, None, 1.5)),
        ("Total optimization steps = 3,000", Said()),
        ('"logging_steps": 10, "max_steps": 1000, "num_train_epochs": 3', Said(steps=1000)),
        ("step 7 of 9: loss 1", Said(7, None, 1.0, steps=9)),
        ("step 7/0 loss 1", Said(7, None, 1.0)),
        ("step 12 in 3.5 s, 9/10 [eval]", Said(12, None, None)),
        ('"max_steps": -1, "global_step": 7', Said(7, None, None)),
        ("step 1,234: loss 2.5.", Said(None, None, 2.5)),
        (" 12%|#2        | 12/100 [00:03<00:22,  3.9it/s]", Said(12, None, None, steps=100)),
        ("saved checkpoints/model_step_3.pt", Said()),
        ("loading glossary step-by-step", Said()),
        ("", Said()),
    ],
)
def test_lines_of_trainers(line: str, found: Said) -> None:
    assert said([line]) == found


def test_the_newest_line_that_says_it_counts() -> None:
    assert said(["step 1 loss 9.0 epoch 0.1", "step 2 loss 8.0", "saving"]) == Said(2, 0.1, 8.0)


@pytest.mark.parametrize("value", ["nan", "NaN", "inf", "-inf", "Infinity"])
def test_a_loss_that_is_no_number_is_said(value: str) -> None:
    found = said(["step 1 loss 9.0", f"step 2 loss {value}"])
    assert (found.step, found.loss, found.broken) == (2, None, True)
    assert not said([f"step 2 loss {value}", "step 3 loss 1.0"]).broken


@given(st.lists(st.text(max_size=300) | st.from_regex(r"(step|loss|epoch)[ =:]{1,3}[-0-9.e+nainf]{1,30}"), max_size=8))
def test_any_lines_can_be_read(lines: list[str]) -> None:
    found = said(lines)
    for value in (found.epoch, found.loss):
        assert value is None or math.isfinite(value)
    assert found.step is None or found.step >= 0
    assert found.steps is None or found.steps >= (found.step or 0)


def test_what_one_line_does_not_say_another_may() -> None:
    assert Said().or_else(Said(5, 1.0, 2.5, steps=10)) == Said(5, 1.0, 2.5, steps=10)
    assert Said(7, 2.0, 0.5, steps=20).or_else(Said(5, 1.0, 2.5, steps=10)) == Said(7, 2.0, 0.5, steps=20)
    assert Said(7).or_else(Said(loss=2.5)) == Said(7, None, 2.5)


def test_a_loss_that_is_none_is_not_made_good_by_another() -> None:
    assert Said(broken=True).or_else(Said(5, loss=2.5)) == Said(5, broken=True)
    assert Said(loss=2.5).or_else(Said(broken=True)) == Said(loss=2.5)


def test_steps_that_are_behind_the_present_one_are_those_of_something_else() -> None:
    assert Said(11).or_else(Said(steps=10)) == Said(11)
    assert Said(10).or_else(Said(steps=10)) == Said(10, steps=10)
    assert Said(steps=10).or_else(Said(11)) == Said(11)
