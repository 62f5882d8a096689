"""How far the training is, by what it prints itself: step, epoch and loss in the last lines of its log. Pure and total."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

LONGEST = 2000
"""Characters of a line that are read."""

LARGEST = 1e15

_NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?|nan|NaN|inf|Infinity"
_LOSS = re.compile(rf"(?<![A-Za-z])(?:train_|train/|train-|training[ _])?loss['\"]?\s*[:=]?\s*({_NUMBER})(?![\w.])")
_STEP = re.compile(
    r"(?<![A-Za-z])(?:global_|global[ -])?(?:step|steps|iter|iteration)s?['\"]?\s*[:=#]?\s*([0-9]{1,15})(?![\w.])", re.I
)
_EPOCH = re.compile(rf"(?<![A-Za-z])epoch['\"]?\s*[:=#]?\s*\[?({_NUMBER})(?![\w.])", re.I)
_BAR = re.compile(r"([0-9]{1,12})/[0-9]{1,12} \[")  # tqdm's


@dataclass(frozen=True, slots=True)
class Said:
    """None: not said. `loss` is finite; `broken`: it was said to be not a number, or infinite."""

    step: int | None = None
    epoch: float | None = None
    loss: float | None = None
    broken: bool = False


def said(lines: Iterable[str]) -> Said:
    """By the newest line that says each. `lines`: the oldest first.

    >>> said(["{'loss': 2.5, 'grad_norm': 1.0, 'epoch': 0.5}"])
    Said(step=None, epoch=0.5, loss=2.5, broken=False)
    >>> said(["step 120: loss 3.1", "step 130: loss nan"])
    Said(step=130, epoch=None, loss=None, broken=True)
    """
    step: int | None = None
    epoch = loss = None
    broken: bool | None = None
    for line in reversed([line[:LONGEST] for line in lines]):
        if broken is None and (found := _last(_LOSS, line)) is not None:
            value = float(found)
            broken = not math.isfinite(value)
            loss = value if not broken and abs(value) < LARGEST else None
        if step is None and (found := _last(_STEP, line) or _last(_BAR, line)) is not None:
            step = int(found)
        if epoch is None and (found := _last(_EPOCH, line)) is not None:
            value = float(found)
            epoch = value if math.isfinite(value) and 0 <= value < LARGEST else None
    return Said(step, epoch, loss, bool(broken))


def _last(pattern: re.Pattern[str], line: str) -> str | None:
    found = pattern.findall(line)
    return found[-1] if found else None
