"""What AWS can tell of a launch before money is spent: type, role, quota, price. What it does not tell is said as not known."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from runctl_agent.errors import ConfigError, NotFoundError, RefusedError, RunctlError

from . import prices
from .beside import Beside
from .ec2 import Ec2
from .hardware import Hardware, hardware_of, unfit, unknown
from .image import Image
from .launched import Launched
from .offer import PRICE_LIST, Offer
from .quota import Quota, counting, exceeded, quota_of

LIVING = {"instance-state-name": ["pending", "running"]}


@dataclass
class Examined:
    """`found` stands in the way, each with what it is about; `remarks` are to be known; an offer for each type, in order."""

    found: list[tuple[str, RunctlError]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    offers: list[Offer] = field(default_factory=list)

    @property
    def problems(self) -> list[RunctlError]:
        return [error for _, error in self.found]

    def add(self, about: str, *errors: RunctlError) -> None:
        self.found += [(about, error) for error in errors]

    @contextmanager
    def asking(self, what: str) -> Iterator[None]:
        """Whoever does not answer stands in nobody's way."""
        try:
            yield
        except RunctlError as error:
            self.remarks.append(f"{what}: {error}")


class Checks:
    """`now` in seconds since the epoch."""

    def __init__(self, ec2: Ec2, beside: Beside, now: Callable[[], float]) -> None:
        self._ec2 = ec2
        self._beside = beside
        self._now = now

    def examine(self, launched: Launched, gpus: int, image: Image | None) -> Examined:
        found = Examined()
        names = (launched.instance_type, *launched.more_types)
        hardware = self._hardware(found, names)
        for one in hardware.values():
            found.add("type", *unfit(one, image, gpus=gpus, spot=launched.spot))
        self._role(found, launched.profile)
        self._quotas(found, list(hardware.values()), spot=launched.spot)
        self._prices(found, names, hardware, spot=launched.spot)
        return found

    def _hardware(self, found: Examined, names: Sequence[str]) -> Mapping[str, Hardware]:
        with found.asking("type"):
            known = {one["InstanceType"]: hardware_of(one) for one in self._ec2.types(*names)}
            for name in (name for name in names if name not in known):
                family = self._ec2.types(f"{name.partition('.')[0]}.*")
                found.add("type", unknown(name, self._ec2.region, (one["InstanceType"] for one in family)))
            return known
        return {}

    def _role(self, found: Examined, profile: str) -> None:
        if not profile:
            return
        with found.asking("role"):
            mend = "create it with the policy that `runctl iam agent` prints, or correct --role"
            try:
                role = self._beside.role_of(profile)
            except NotFoundError as error:
                found.add("role", NotFoundError(f"there is no instance profile {profile}", error.why, mend))
                return
            if not role:
                why = "an instance that is launched with it has no credentials"
                mend = f"aws iam add-role-to-instance-profile --instance-profile-name {profile} --role-name ROLE"
                found.add("role", ConfigError(f"the instance profile {profile} has no role", why, mend))

    def _quotas(self, found: Examined, hardware: Sequence[Hardware], *, spot: bool) -> None:
        """A type that does not fit stands in the way where no other one does."""
        refused: list[RefusedError] = []
        living: list[Mapping[str, Any]] | None = None
        limits: dict[str, float] = {}
        for one in hardware:
            of = quota_of(one.type, spot=spot)
            if of is None:
                continue
            code, name = of
            if code not in limits:
                limits[code] = math.inf  # where nobody says
                with found.asking("quota"):
                    limits[code] = self._beside.quota(code)
            if limits[code] == math.inf:
                continue
            with found.asking("quota"):
                living = self._ec2.instances(LIVING) if living is None else living
                problem = exceeded(Quota(code, name, limits[code], self._used(living, code)), one, self._ec2.region)
                refused += [problem] if problem is not None else []
        if hardware and len(refused) == len(hardware):
            found.add("quota", *refused)
        else:
            found.remarks += [f"quota: {error}; another type is taken instead" for error in refused]

    def _used(self, living: Sequence[Mapping[str, Any]], code: str) -> int:
        """vCPUs."""
        types = counting(living, code)
        if not types:
            return 0
        vcpus = {one.type: one.vcpus for one in map(hardware_of, self._ec2.types(*sorted(set(types))))}
        return sum(vcpus.get(name, 0) for name in types)

    def _prices(self, found: Examined, names: Sequence[str], hardware: Mapping[str, Hardware], *, spot: bool) -> None:
        cheapest: dict[str, tuple[float, str]] = {}
        if spot:
            with found.asking("spot price"):
                for one in self._ec2.spot_prices(names, datetime.fromtimestamp(self._now(), UTC)):
                    price = (float(one["SpotPrice"]), str(one["AvailabilityZone"]))
                    cheapest[one["InstanceType"]] = min(price, cheapest.get(one["InstanceType"], price))
        answers = True
        for name in names:
            listed, answers = self._listed(name) if answers else (None, False)
            found.offers.append(self._offer(name, hardware.get(name), listed, cheapest.get(name)))

    def _listed(self, name: str) -> tuple[float | None, bool]:
        """The price list's price, and whether the list answers: who may not ask it has the table."""
        try:
            return self._beside.on_demand(name), True
        except RunctlError:
            return None, False

    def _offer(self, name: str, hardware: Hardware | None, listed: float | None, spot: tuple[float, str] | None) -> Offer:
        price, zone = spot if spot is not None else (None, "")
        if listed is not None:
            today = datetime.fromtimestamp(self._now(), UTC).date().isoformat()
            return Offer(name, hardware, listed, price, zone, PRICE_LIST, today)
        table = prices.table()
        shipped = prices.hourly(name, False)
        if shipped is None:
            return Offer(name, hardware, None, price, zone)
        elsewhere = table.region if table.region != self._ec2.region else ""
        age = table.age(self._now())
        return Offer(name, hardware, shipped, price, zone, "a table", table.as_of.isoformat(), age, elsewhere)
