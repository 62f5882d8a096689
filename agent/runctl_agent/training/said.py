"""How far the training is, by what it prints itself: step, of how many, epoch and loss. Pure and total."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

LONGEST = 2000
"""Characters of a line that are read."""

LARGEST = 1e15

_NUMBER = r"[-+]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[-+]?[0-9]{1,3})?|nan|inf(?:inity)?)(?!\w|\.[0-9])"
_COUNT = r"([0-9]{1,15})(?!\w|[.,][0-9])"
_TO = r"['\"]?\s*[:=#]?\s*\[?"  # from a name to its value
_LOSS = re.compile(rf"(?<![A-Za-z])(?:([a-z]{{1,12}})[ _/-])?loss{_TO}({_NUMBER})", re.I)
_STEP = re.compile(rf"(?<![A-Za-z_])(?:(?:global|train|training)[ _/-])?(?:step|iter|iteration){_TO}{_COUNT}", re.I)
_EPOCH = re.compile(rf"(?<![A-Za-z_])epoch{_TO}({_NUMBER})", re.I)
_BAR = re.compile(r"([0-9]{1,12})/[0-9]{1,12} \[")  # tqdm's
_BAR_OF = re.compile(r"[0-9]{1,12}/([0-9]{1,12}) \[")
_STEP_OF = re.compile(rf"{_STEP.pattern}(?:\s?/\s?|\sof\s){_COUNT}", re.I)
_MAX_STEPS = re.compile(rf"(?<![A-Za-z_])max_steps{_TO}{_COUNT}", re.I)  # Hugging Face's trainer_state.json

_TRAINING = ("", "train", "training")
_OTHERS = ("eval", "evaluation", "val", "valid", "validation", "dev", "test", "best")
"""What is said of the loss on other data than the training's."""


@dataclass(frozen=True, slots=True)
class Said:
    """None: not said. `loss` is finite; `broken`: it was said to be none, or infinite. `steps`: how many there will be."""

    step: int | None = None
    epoch: float | None = None
    loss: float | None = None
    broken: bool = False
    steps: int | None = None

    def or_else(self, other: Said) -> Said:
        """What is not said here as it is said there."""
        loss = self if self.loss is not None or self.broken else other
        step = self.step if self.step is not None else other.step
        epoch = self.epoch if self.epoch is not None else other.epoch
        steps = self.steps if self.steps is not None else other.steps
        return Said(step, epoch, loss.loss, loss.broken, steps if steps is None or steps >= (step or 0) else None)


def said(lines: Iterable[str]) -> Said:
    """By the newest line that says each. `lines`: the oldest first.

    >>> said(["{'loss': 2.5, 'grad_norm': 1.0, 'epoch': 0.5}"])
    Said(step=None, epoch=0.5, loss=2.5, broken=False, steps=None)
    >>> said(["step 120/1000: loss 3.1", "step 130/1000: loss nan"])
    Said(step=130, epoch=None, loss=None, broken=True, steps=1000)
    """
    step: int | None = None
    steps: int | None = None
    epoch = loss = None
    broken: bool | None = None
    for line in reversed([line[:LONGEST] for line in lines]):
        if broken is None and (found := _loss(line)) is not None:
            value = float(found)
            broken = not math.isfinite(value)
            loss = value if not broken and abs(value) < LARGEST else None
        if step is None and (found := _last(_STEP, line) or _last(_BAR, line)) is not None:
            step = int(found)
            steps = _steps(line, step) or steps
        if epoch is None and (found := _last(_EPOCH, line)) is not None:
            value = float(found)
            epoch = value if math.isfinite(value) and 0 <= value < LARGEST else None
        if steps is None and (found := _last(_MAX_STEPS, line)) is not None:
            steps = int(found) or None
    return Said(step, epoch, loss, bool(broken), steps if steps is None or steps >= (step or 0) else None)


def _steps(line: str, step: int) -> int | None:
    """Of how many steps the one is that `line` says; a bar counts where it is the bar of that step."""
    if of := _STEP_OF.findall(line):
        return int(of[-1][1])
    bars = list(zip(_BAR.findall(line), _BAR_OF.findall(line), strict=True))
    return int(bars[-1][1]) if bars and int(bars[-1][0]) == step else None


def _loss(line: str) -> str | None:
    """The training's; only where the line does not name that, a part of it such as `kl_loss`."""
    found = [(kind.lower(), value) for kind, value in _LOSS.findall(line)]
    own = [value for kind, value in found if kind in _TRAINING]
    rest = [value for kind, value in found if kind not in _OTHERS]
    return next(reversed(own or rest), None)


def _last(pattern: re.Pattern[str], line: str) -> str | None:
    found = pattern.findall(line)
    return found[-1] if found else None
