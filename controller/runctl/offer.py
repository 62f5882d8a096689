"""What an instance costs an hour: spot against on demand, and how old that word is. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .documents import Cost
from .hardware import Hardware

PRICE_LIST = "AWS's price list"


@dataclass(frozen=True, slots=True)
class Offer:
    """USD an hour; None: not known. `zone` is where spot is cheapest now; `source` says where `on_demand` is from, `as_of` of
    which day (ISO), and `region` of which region, if of another than the run's."""

    type: str
    hardware: Hardware | None
    on_demand: float | None = None
    spot: float | None = None
    zone: str = ""
    source: str = ""
    as_of: str = ""
    age: int = 0  # whole days
    region: str = ""

    def hourly(self, *, spot: bool) -> float | None:
        return self.spot if spot else self.on_demand

    def plain(self, *, spot: bool) -> Cost:
        return {
            "instance_type": self.type,
            "hourly": self.hourly(spot=spot),
            "on_demand": self.on_demand,
            "spot": self.spot,
            "zone": self.zone,
            "source": self.source,
            "as_of": self.as_of,
            "region": self.region,
        }

    def text(self, *, spot: bool) -> str:
        """For people: what an hour costs, and against what."""
        of = self._source()
        if not spot:
            return f"{dollars(self.on_demand)} an hour{of}" if self.on_demand is not None else "its price is not known"
        if self.spot is None:
            against = f"; on demand {dollars(self.on_demand)} an hour{of}" if self.on_demand is not None else ""
            return f"the spot price is not known{against}"
        where = f" in {self.zone}" if self.zone else ""
        if self.on_demand is None:
            return f"{dollars(self.spot)} an hour now{where}, as spot"
        less = f"{100 * (1 - self.spot / self.on_demand):.0f} % less than" if self.spot < self.on_demand else "no less than"
        return f"{dollars(self.spot)} an hour now{where}, as spot: {less} {dollars(self.on_demand)} on demand{of}"

    def _source(self) -> str:
        if not self.source or self.source == PRICE_LIST:
            return ""
        where = f", of {self.region}" if self.region else ""
        return f" ({self.source} of {self.as_of}, {self.age} days old{where})"


def dollars(price: float | None) -> str:
    """To three figures.

    >>> dollars(0.4123), dollars(21.957642), dollars(None)
    ('$0.412', '$21.96', '?')
    """
    if price is None:
        return "?"
    return f"${price:.3f}" if price < 1 else f"${price:.2f}"


def line(offers: Sequence[Offer], *, spot: bool) -> str:
    """The first in words, the others briefly."""
    first, *others = offers
    more = ", ".join(f"{one.type} {dollars(one.hourly(spot=spot))}" for one in others)
    return f"{first.type}: {first.text(spot=spot)}" + (f"; else {more}" if more else "")
