"""What an hour costs by the table that ships, `prices.json`: dated, of one region, and on demand only, for spot prices move."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache

PATH = os.path.join(os.path.dirname(__file__), "prices.json")


@dataclass(frozen=True, slots=True)
class Table:
    """USD an hour of Linux on demand, in `region` on the day `as_of`."""

    region: str
    as_of: date
    prices: Mapping[str, float]

    def age(self, now: float) -> int:
        """Whole days; `now` in seconds since the epoch."""
        return max(0, (datetime.fromtimestamp(now, UTC).date() - self.as_of).days)


@cache
def table() -> Table:
    with open(PATH, encoding="utf-8") as file:
        found = json.load(file)
    return Table(found["region"], date.fromisoformat(found["as_of"]), found["prices"])


def hourly(instance_type: str, spot: bool) -> float | None:
    """USD an hour on demand, by the table; None where it does not know the type, and of spot."""
    return None if spot else table().prices.get(instance_type)
