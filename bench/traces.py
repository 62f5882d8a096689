"""When a spot market had an instance to give: published traces, or one by lot. Pure but for `load`.

The format is that of github.com/skypilot-org/spot-traces (Wu et al., "Can't Be Late: Optimizing Spot Instance Savings under
Deadlines", NSDI 2024): `{"metadata": {"gap_seconds": 300}, "data": [1, 1, 0, …]}`, the instances available at each tick.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """One instance, in seconds of the trace. `taken`: EC2 ended it, else the trace did; `notice`: and said so before."""

    begin: float
    end: float
    taken: bool
    notice: bool


@dataclass(frozen=True)
class Trace:
    name: str
    gap: float
    available: tuple[int, ...]

    def machines(self, seed: int) -> list[Machine]:
        """One as long as there is any, the next at the first tick that has one again; every second one taken has its notice."""
        at_random = random.Random(seed)
        runs = [(there, len(list(ticks))) for there, ticks in groupby(self.available, bool)]
        found, tick = [], 0
        for there, ticks in runs:
            if there:
                end = tick + ticks
                taken = end < len(self.available)
                found.append(Machine(tick * self.gap, end * self.gap, taken, taken and at_random.random() < 0.5))
            tick += ticks
        return found


def load(path: Path) -> Trace:
    """Raises SystemExit for what is no trace."""
    try:
        plain = json.loads(path.read_text())
        gap, data = float(plain["metadata"]["gap_seconds"]), tuple(int(count) for count in plain["data"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SystemExit(f"{path} is no spot trace: {type(error).__name__}: {error}") from error
    if gap <= 0 or not any(data):
        raise SystemExit(f"{path} is no spot trace: it has no instance, or no time between its ticks")
    return Trace(path.name, gap, data)


def generated(seed: int, days: float = 14.0, life: float = 4 * 3600.0, pause: float = 1800.0, gap: float = 60.0) -> Trace:
    """Lives and pauses of exponential length, with these means in seconds."""
    at_random = random.Random(seed)
    available: list[int] = []
    while len(available) * gap < days * 86400:
        for there, mean in ((1, life), (0, pause)):
            available += [there] * max(1, round(at_random.expovariate(1 / mean) / gap))
    return Trace(f"generated, seed {seed}", gap, tuple(available[: round(days * 86400 / gap)]))


def paid(machines: Sequence[Machine]) -> float:
    """Seconds."""
    return sum(one.end - one.begin for one in machines)
